# Two environments: .venv-serve holds what serving needs and nothing else; .venv holds everything for development.
# They are made once. TORCH_BACKEND=cpu or =cu130, for instance, chooses PyTorch's build; service/commands/install.py has the default.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 3000

CONFIG ?= training/configs/lite0.toml
VERSION ?= 0.1.0
RUN ?= runs/$(basename $(notdir $(CONFIG)))

SERVICE_VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' service/__init__.py)
IMAGE ?= chest-xray:$(SERVICE_VERSION)
BUILDER ?= docker
OPTIONS ?=

SERVE_ENV := .venv-serve
DEV_ENV := .venv
CHECKOV_ENV := .venv-checkov

# $(call option,data,DATA) is --data "value of DATA", or nothing if DATA is not given.
option = $(if $($(2)),--$(1) "$($(2))")

# service/usage_data.py switches usage data off in processes of the project; this does so in BentoML's and MLflow's own.
export BENTOML_DO_NOT_TRACK := True
export ORT_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_DISABLE_TELEMETRY := 1

# Waiting threads of PyTorch sleep instead of spinning: beside other work, spinning threads take the processor from those that
# they wait for.
train export evaluate commission retrain ablate tune: export OMP_WAIT_POLICY ?= PASSIVE
# Freed tensors stay with the process: on virtual machines that hand freed pages to their host, returning them to the kernel
# and asking for them again costs more than the training itself.
train retrain ablate tune: export MALLOC_MMAP_THRESHOLD_ := 8589934592
train retrain ablate tune: export MALLOC_TRIM_THRESHOLD_ := 17179869184

# Asked here, not by cxr: its environment would be installed first.
ifneq ($(filter train export evaluate explore ablate tune retrain,$(MAKECMDGOALS)),)
ifndef DATA
$(error DATA is not given: make $(MAKECMDGOALS) DATA=folder. The folder holds train/, val/ and test/, each with the folders \
Normal/, Pneumonia/ and Tuberculosis/ full of films, and optionally manifest.csv; docs/training.md says more)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help serve monitor test test-long check manifests container image lock audit format train export evaluate retrain \
	commission explore ablate tune bench smoke docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

serve: $(SERVE_ENV)/.installed ## Serve the released model: HOST=127.0.0.1 PORT=3000; under TLS 1.3: CERT=file KEY=file
	$(SERVE_ENV)/bin/cxr serve --host $(HOST) --port $(PORT) $(call option,cert,CERT) $(call option,key,KEY)

monitor: $(SERVE_ENV)/.installed ## Serve, with Prometheus, and Grafana where it is installed: PORT=
	$(SERVE_ENV)/bin/cxr monitor --port $(PORT)

train: $(DEV_ENV)/.installed ## Train or resume: DATA=folder CONFIG=training/configs/… RUN=runs/… VERSION=x.y.z MLFLOW=experiment
	$(DEV_ENV)/bin/cxr train --config "$(CONFIG)" $(call option,data,DATA) --out "$(RUN)" --version "$(VERSION)" --resume $(call option,mlflow,MLFLOW)

export: $(DEV_ENV)/.installed ## Export a checkpoint to a bundle in models/: DATA=folder RUN=runs/… VERSION=x.y.z
	$(DEV_ENV)/bin/cxr export --checkpoint "$(RUN)"/best_model.pt $(call option,data,DATA) --version "$(VERSION)" --out models

evaluate: $(DEV_ENV)/.installed ## Evaluate a bundle on the test split: DATA=folder PARTS=quick|part,… BUNDLE=models/… AGAINST=models/…
	$(DEV_ENV)/bin/cxr evaluate $(if $(BUNDLE),"$(BUNDLE)") $(call option,data,DATA) --split test $(call option,parts,PARTS) $(call option,against,AGAINST)

commission: $(DEV_ENV)/.installed ## Test and adjust the model on a site's own films: FILMS=folder SITE=name OPTIONS=--demo
	$(DEV_ENV)/bin/cxr commission $(if $(FILMS),"$(FILMS)") $(call option,site,SITE) $(OPTIONS)

explore: $(DEV_ENV)/.installed ## Describe a data set by class and source: DATA=folder
	$(DEV_ENV)/bin/cxr explore $(call option,data,DATA)

retrain: $(DEV_ENV)/.installed ## Train and promote a better model if there is a reason: DATA=folder PROMETHEUS=address ARCHIVE=folder
	$(DEV_ENV)/bin/cxr retrain $(call option,data,DATA) $(call option,prometheus,PROMETHEUS) $(call option,archive,ARCHIVE) $(call option,mlflow,MLFLOW) $(OPTIONS)

ablate: $(DEV_ENV)/.installed ## Measure what each augmentation is worth, with seeds and spread: DATA=folder
	$(DEV_ENV)/bin/cxr ablate $(call option,data,DATA)

tune: $(DEV_ENV)/.installed ## Search hyperparameters, or go on searching: DATA=folder
	$(DEV_ENV)/bin/cxr tune $(call option,data,DATA)

bench: $(DEV_ENV)/.installed ## Measure speed and memory of the service: BUNDLE=models/…, by default the one that is served
	$(DEV_ENV)/bin/cxr bench $(call option,bundle,BUNDLE)

# The tests of one file stay together, since they share servers. A BLAS of many threads in each process would slow all of them.
test: $(DEV_ENV)/.installed ## Run all tests but the long ones, on all processors
	OPENBLAS_NUM_THREADS=1 $(DEV_ENV)/bin/python -m pytest --numprocesses auto --dist loadfile

test-long: $(DEV_ENV)/.installed ## Run the long tests: Prometheus beside the service, retraining, a week of alerts
	OPENBLAS_NUM_THREADS=1 $(DEV_ENV)/bin/python -m pytest -m long --numprocesses auto --dist loadfile

smoke: $(SERVE_ENV)/.installed ## Run the curl calls of README and docs against `make serve`
	PORT=$(PORT) tests/readme_calls.sh

check: $(DEV_ENV)/.installed ## Check style, types, import directions, insecure code
	$(DEV_ENV)/bin/ruff check .
	$(DEV_ENV)/bin/ruff format --check .
	$(DEV_ENV)/bin/mypy
	$(DEV_ENV)/bin/lint-imports
	$(DEV_ENV)/bin/bandit --quiet --configfile pyproject.toml --recursive service training export k8s

format: $(DEV_ENV)/.installed ## Format the code
	$(DEV_ENV)/bin/ruff check --fix .
	$(DEV_ENV)/bin/ruff format .

manifests: $(CHECKOV_ENV)/.installed $(DEV_ENV)/.installed ## Check the Kubernetes manifests and the dashboards
	@for overlay in k8s/overlays/*/; do \
		echo "$$overlay"; \
		$(DEV_ENV)/bin/kubectl kustomize "$$overlay" > $(CHECKOV_ENV)/manifests.yaml || exit 1; \
		$(CHECKOV_ENV)/bin/checkov --config-file k8s/checkov.yaml --file $(CHECKOV_ENV)/manifests.yaml || exit 1; \
	done
	$(DEV_ENV)/bin/cxr dashboards --check

audit: $(DEV_ENV)/.installed ## Look up known vulnerabilities of the pinned packages (needs the network)
	$(DEV_ENV)/bin/pip-audit --disable-pip --no-deps --requirement requirements-serve.txt

# BentoML reads its template only from below its working directory, where its temporary files must be, too.
image: $(SERVE_ENV)/.installed ## Build the container image: IMAGE=name:tag BUILDER=docker|podman|buildah OPTIONS="--opt …"
	mkdir -p build/tmp
	BENTOML_HOME="$(CURDIR)/build" $(SERVE_ENV)/bin/bentoml build --version $(SERVICE_VERSION) --output tag
	cd build && TMPDIR="$(CURDIR)/build/tmp" BENTOML_HOME="$(CURDIR)/build" BUILDAH_FORMAT=docker ../$(SERVE_ENV)/bin/bentoml containerize \
		chest_xray:$(SERVICE_VERSION) --backend $(BUILDER) --image-tag $(IMAGE) $(OPTIONS)
	rm -rf build

container: $(SERVE_ENV)/.installed $(DEV_ENV)/.installed ## Build the image, run it and inspect it, as root with buildah: OPTIONS=
	$(DEV_ENV)/bin/python -m tests.tools.container $(OPTIONS)

# Without PyTorch, whose file depends on the backend, and without the packages that only its CUDA build requires.
lock: $(DEV_ENV)/.installed ## Choose the container's versions anew: service/requirements.lock
	$(DEV_ENV)/bin/uv pip compile requirements-serve.txt --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--generate-hashes --no-annotate --custom-compile-command "make lock" \
		| awk '!/^ / { left_out = /^(torch|triton|nvidia-|cuda-)/ && !/^nvidia-ml-py/ } !left_out' > service/requirements.lock.draft
	mv service/requirements.lock.draft service/requirements.lock

docs: $(DEV_ENV)/.installed ## Write the settings table of docs/operations.md
	$(DEV_ENV)/bin/python -m tests.tools.settings_table

clean: ## Remove environments and caches; runs/ and reports/ stay
	rm -rf $(SERVE_ENV) $(DEV_ENV) $(CHECKOV_ENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(SERVE_ENV)/.installed: requirements-serve.txt
	$(PYTHON) -m venv $(SERVE_ENV)
	$(SERVE_ENV)/bin/python -m service.commands.install requirements-serve.txt
	touch $@

$(DEV_ENV)/.installed: requirements-serve.txt requirements-train.txt tests/requirements.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(DEV_ENV)
	$(DEV_ENV)/bin/python -m service.commands.install requirements-train.txt tests/requirements.txt benchmarks/requirements.txt
	touch $@

$(CHECKOV_ENV)/.installed: tests/requirements-manifests.txt
	$(PYTHON) -m venv $(CHECKOV_ENV)
	$(CHECKOV_ENV)/bin/pip install --disable-pip-version-check -r tests/requirements-manifests.txt
	touch $@
