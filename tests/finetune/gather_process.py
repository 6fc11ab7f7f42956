"""One of two processes that compare their clips with those of both: its rows, the loss and the gradient."""

import os

os.environ.update(globals()["ENVIRONMENT"])

import torch

from fla_llm.finetune.contrast import alignment_loss, gather_rows
from fla_llm.training.processes import join_processes

rank = int(os.environ["RANK"])
join_processes(torch.device("cpu"))
mine = globals()["ROWS"][rank]
clips, texts = (rows.clone().requires_grad_() for rows in mine)
loss = alignment_loss(gather_rows(clips), gather_rows(texts), temperature=0.5)
# The loss of a process counts by its share of the labels.
(loss * len(clips)).backward()
torch.save({"loss": loss.detach(), "gradient": clips.grad}, globals()["FOLDER"] / f"{rank}.pt")
