# Two images from one file: `web` (also migrate and janitor) has no torch, `worker` has.
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 farm && mkdir -p /var/lib/farm/weights && chown -R farm /var/lib/farm
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY farm farm
COPY workers workers
COPY web web
COPY migrations migrations
COPY samples samples
ENV FARM_HOME=/var/lib/farm FARM_LOG_FORMAT=json

FROM base AS web
RUN pip install -e '.[s3]'
USER farm
EXPOSE 8000
CMD ["farm", "web"]

FROM base AS worker
# cu130, cpu, rocm6.4 ..: which of PyTorch's builds the image gets; empty takes the index's default.
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then pip install torch torchvision --extra-index-url "$TORCH_INDEX"; fi \
 && pip install -e '.[worker,s3]'
ENV FARM_WEIGHTS_DIR=/var/lib/farm/weights
USER farm
CMD ["farm", "worker"]
