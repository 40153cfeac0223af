# The workbench in a container.
#
#   docker build -t workbench .                                                              for a CPU
#   docker build -t workbench --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 .         for NVIDIA cards
#   docker run --rm -p 127.0.0.1:7860:7860 -v workbench:/home/workbench/data workbench       add --gpus all for the cards
#
# `docker stop` saves a run that trains; give it time for that: docker stop --time 90, or docker run --stop-timeout 90.
# The log shows the address with its token; with -e WORKBENCH_LOGIN=name:password the page asks for these instead.
# Only the build needs a network: the starter model and data set are inside. Runs, models and data sets live in the volume.
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG BASE=python:3.12-slim

# CUDA's images have no Python; python:3.12 has its own.
RUN command -v python3 >/dev/null || ( \
        apt-get update \
        && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
        && rm -rf /var/lib/apt/lists/* \
    )

# Torch without CUDA where there is no card to use: some gigabytes less. Its CUDA build brings the CUDA libraries along.
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /tmp/requirements.txt
RUN python3 -m venv "$VIRTUAL_ENV" \
    && case "$BASE" in \
        *cuda*) ;; \
        *) pip install --no-deps --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' /tmp/requirements.txt)" ;; \
    esac \
    && pip install -r /tmp/requirements.txt

# User 1000 is also the one that Hugging Face's Docker Spaces run as; Ubuntu's images have one by that number already.
RUN useradd --create-home --non-unique --uid 1000 workbench && install -d -o 1000 /home/workbench/data
COPY . /opt/workbench
WORKDIR /opt/workbench
USER 1000
ENV HOME=/home/workbench WORKBENCH_HOME=/home/workbench/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /home/workbench/data
EXPOSE 7860
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 7860), 3)"]
# Python itself is the first process, without a shell before it that would keep the signal.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "app.py", "--no-browser"]
# Inside the container every address; which of the host's addresses reach it is said by `docker run -p`.
CMD ["--host", "0.0.0.0"]
