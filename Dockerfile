# Two images from one file: `web` (also migrate and janitor) has no torch, `worker` has.
# By digest, for an image that can be built again: --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 farm && mkdir -p /var/lib/farm/weights && chown -R farm /var/lib/farm
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY farm farm
COPY workers workers
COPY web web
COPY migrations migrations
COPY samples samples
COPY locks locks
ENV FARM_HOME=/var/lib/farm FARM_LOG_FORMAT=json

FROM base AS web
# 1: the packages of locks/, checked by their hashes; empty: the newest that pyproject.toml admits.
ARG LOCKED=""
RUN if [ -n "$LOCKED" ]; then \
      pip install --require-hashes --no-deps -r locks/web.txt && pip install --no-deps --no-build-isolation -e .; \
    else pip install -e '.[film,s3]'; fi
USER farm
EXPOSE 8000
CMD ["farm", "web"]

FROM base AS worker
# cu130, cpu, rocm6.4 ..: which of PyTorch's builds the image gets; empty takes the index's default.
ARG TORCH_INDEX=""
# As above. The lock names the default build alone.
ARG LOCKED=""
RUN if [ -n "$LOCKED" ] && [ -n "$TORCH_INDEX" ]; then \
      echo "LOCKED has a torch of its own: leave TORCH_INDEX empty" >&2; exit 1; \
    elif [ -n "$LOCKED" ]; then \
      pip install --require-hashes --no-deps -r locks/farm.txt && pip install --no-deps --no-build-isolation -e .; \
    else \
      if [ -n "$TORCH_INDEX" ]; then pip install torch torchvision --extra-index-url "$TORCH_INDEX"; fi \
      && pip install -e '.[worker,film,s3]'; \
    fi
ENV FARM_WEIGHTS_DIR=/var/lib/farm/weights
USER farm
CMD ["farm", "worker"]
