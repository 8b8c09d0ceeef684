# perceiver in a container, without CUDA and not as root:
#   docker build --tag perceiver .
#   docker run --rm perceiver                                                  trains on the built-in digits
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" perceiver fit films.csv --target genre
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
# PyPI's PyTorch brings 5 GB of CUDA; this index has the same version without.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/perceiver \
    && /opt/perceiver/bin/python -m pip install --no-cache-dir --constraint constraints.txt ".[all]"

FROM python:3.11-slim-bookworm
COPY --from=build /opt/perceiver /opt/perceiver
# Compiled loops, fonts and built-in tables are kept in the home, which --user may leave without an owner.
ENV PATH=/opt/perceiver/bin:$PATH HOME=/home/perceiver USER=perceiver NUMBA_CACHE_DIR=/home/perceiver/.cache/numba
RUN useradd --create-home --uid 1000 perceiver \
    && mkdir --parents /home/perceiver/.cache /data \
    && chown --recursive perceiver:perceiver /home/perceiver /data \
    && chmod --recursive a+rwX /home/perceiver /data
USER 1000
WORKDIR /data
ENTRYPOINT ["perceiver"]
CMD ["fit", "digits", "--time-limit", "4m"]
