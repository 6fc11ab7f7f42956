# fla in a container.
#
#   docker build -t fla .                              CPU
#   docker build -t fla --build-arg TORCH=cuda .       NVIDIA GPUs; the host needs the driver and the NVIDIA container toolkit
#
#   docker run --rm -v "$PWD":/work fla doctor --device cpu
#   docker run --rm --gpus all --ipc=host -v "$PWD":/work fla doctor
FROM python:3.12-slim

# cpu: PyTorch's wheels without CUDA, 0.2 GB. cuda: the wheels of PyPI, which bring CUDA.
ARG TORCH=cpu

WORKDIR /opt/fla
COPY constraints.txt ./
# Before the sources: a change of the sources keeps this layer.
RUN case "$TORCH" in \
      cpu)  pip install --no-cache-dir -c constraints.txt torch torchvision --index-url https://download.pytorch.org/whl/cpu ;; \
      cuda) pip install --no-cache-dir -c constraints.txt torch torchvision ;; \
      *)    echo "TORCH must be cpu or cuda, but is $TORCH" >&2; exit 1 ;; \
    esac
COPY . .
RUN pip install --no-cache-dir -c constraints.txt ".[poses,rouge]"

# Not as root: files in mounted folders then belong to a user, by default the first of the host.
RUN useradd --create-home --uid 1000 fla
USER fla
WORKDIR /work
ENTRYPOINT ["fla"]
CMD ["--help"]
