# Two environments: .venv-serve holds what serving needs and nothing else; .venv holds everything for development.
# TORCH_BACKEND=cpu or =cu130, for instance, chooses PyTorch's build when they are made; service/commands/install.py has the default.
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
RUN_IN := $(DEV_ENV)/bin/python -m

# No usage data leaves the house: service/usage_data.py says so to every process of ours, this to bentoml's and mlflow's own.
export BENTOML_DO_NOT_TRACK := True
export ORT_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_DISABLE_TELEMETRY := 1
# Freed tensors stay with the process instead of going back to the kernel: on virtual machines that hand freed pages to
# their host, giving them back and asking for them again costs more than the training itself.
KEEP_MEMORY := MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184
# PyTorch's threads wait for each other asleep instead of spinning, unless the caller has it otherwise: beside other work, those
# that spin take the processor from those that they wait for.
train export evaluate retrain ablate tune: export OMP_WAIT_POLICY ?= PASSIVE

# Asked here, not in the recipes: those would first install the environment.
ifneq ($(filter train export evaluate explore ablate tune retrain,$(MAKECMDGOALS)),)
ifndef DATA
$(error DATA is not given: make $(MAKECMDGOALS) DATA=folder. The folder holds train/, val/ and test/, each with the folders \
Normal/, Pneumonia/ and Tuberculosis/ full of films, and optionally manifest.csv; README.md, "Training your own", says more)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help serve monitor test test-long check manifests container image lock audit format train export evaluate retrain \
	explore ablate tune bench smoke docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

serve: $(SERVE_ENV)/.installed ## Serve the released model on $(HOST):$(PORT); under TLS 1.3 with CERT=file KEY=file
	$(SERVE_ENV)/bin/cxr serve --host $(HOST) --port $(PORT) $(if $(CERT),--cert "$(CERT)") $(if $(KEY),--key "$(KEY)")

monitor: $(SERVE_ENV)/.installed ## Serve, with a Prometheus beside it, and Grafana where it is installed: PORT=
	$(SERVE_ENV)/bin/cxr monitor --port $(PORT)

# A file's tests stay together, since they share servers.
test: $(DEV_ENV)/.installed ## Run all tests but the long ones, on all processors
	$(RUN_IN) pytest --numprocesses auto --dist loadfile

test-long: $(DEV_ENV)/.installed ## Run the long ones: Prometheus beside the service, retraining, a week of alerts
	$(RUN_IN) pytest -m long --numprocesses auto --dist loadfile

manifests: $(CHECKOV_ENV)/.installed $(DEV_ENV)/.installed ## Look for insecure Kubernetes manifests, overlay by overlay
	@for overlay in k8s/overlays/*/; do \
		echo "$$overlay"; \
		$(DEV_ENV)/bin/kubectl kustomize "$$overlay" > $(CHECKOV_ENV)/manifests.yaml || exit 1; \
		$(CHECKOV_ENV)/bin/checkov --config-file k8s/checkov.yaml --file $(CHECKOV_ENV)/manifests.yaml || exit 1; \
	done
	$(DEV_ENV)/bin/cxr dashboards --check

container: $(SERVE_ENV)/.installed $(DEV_ENV)/.installed ## Build the image, run it and look at it, as root with buildah: OPTIONS=
	$(RUN_IN) tests.tools.container $(OPTIONS)

check: $(DEV_ENV)/.installed ## Lint, types, import directions
	$(DEV_ENV)/bin/ruff check .
	$(DEV_ENV)/bin/ruff format --check .
	$(DEV_ENV)/bin/mypy
	$(DEV_ENV)/bin/lint-imports
	$(DEV_ENV)/bin/bandit --quiet --configfile pyproject.toml --recursive service training export k8s

audit: $(DEV_ENV)/.installed ## Ask for known weaknesses of what is pinned (needs the network)
	$(DEV_ENV)/bin/pip-audit --disable-pip --no-deps --requirement requirements-serve.txt

format: $(DEV_ENV)/.installed ## Format the code
	$(DEV_ENV)/bin/ruff check --fix .
	$(DEV_ENV)/bin/ruff format .

train: $(DEV_ENV)/.installed ## Train or resume: CONFIG=training/configs/… DATA=folder RUN=runs/… VERSION=x.y.z MLFLOW=experiment
	$(KEEP_MEMORY) $(DEV_ENV)/bin/cxr train --config "$(CONFIG)" --data "$(DATA)" --out "$(RUN)" --version "$(VERSION)" --resume \
		$(if $(MLFLOW),--mlflow "$(MLFLOW)")

export: $(DEV_ENV)/.installed ## Checkpoint -> bundle in models/: RUN=runs/… DATA=folder VERSION=x.y.z
	$(DEV_ENV)/bin/cxr export --checkpoint "$(RUN)"/best_model.pt --data "$(DATA)" --version "$(VERSION)" --out models

evaluate: $(DEV_ENV)/.installed ## Judge a bundle on the test split: DATA=folder PARTS=quick|part,… BUNDLE=models/… AGAINST=models/…
	$(DEV_ENV)/bin/cxr evaluate $(if $(BUNDLE),"$(BUNDLE)") --data "$(DATA)" --split test $(if $(PARTS),--parts "$(PARTS)") \
		$(if $(AGAINST),--against "$(AGAINST)")

explore: $(DEV_ENV)/.installed ## Sizes, grey values, edges and texture of a data set, per class and source: DATA=folder
	$(DEV_ENV)/bin/cxr explore --data "$(DATA)"

retrain: $(DEV_ENV)/.installed ## Train and promote a better model if there is a reason: DATA=folder PROMETHEUS=address ARCHIVE=folder
	$(KEEP_MEMORY) $(DEV_ENV)/bin/cxr retrain --data "$(DATA)" $(if $(PROMETHEUS),--prometheus "$(PROMETHEUS)") \
		$(if $(ARCHIVE),--archive "$(ARCHIVE)") $(if $(MLFLOW),--mlflow "$(MLFLOW)") $(OPTIONS)

ablate: $(DEV_ENV)/.installed ## What each augmentation is worth, with seeds and spread: DATA=folder
	$(KEEP_MEMORY) $(DEV_ENV)/bin/cxr ablate --data "$(DATA)"

tune: $(DEV_ENV)/.installed ## Search hyperparameters, or go on searching: DATA=folder
	$(KEEP_MEMORY) $(DEV_ENV)/bin/cxr tune --data "$(DATA)"

bench: $(DEV_ENV)/.installed ## Measure the service of a bundle (the newest) against its parts and a plain baseline: BUNDLE=models/…
	$(DEV_ENV)/bin/cxr bench $(if $(BUNDLE),--bundle "$(BUNDLE)")

smoke: $(SERVE_ENV)/.installed ## Serve from the serving environment alone and run the README's calls as they stand
	PORT=$(PORT) tests/readme_calls.sh

# BentoML reads its template only from below the folder that it runs in, and that is where its temporary files must be, too.
image: $(SERVE_ENV)/.installed ## Build the container image: IMAGE=name:tag BUILDER=docker|podman|buildah OPTIONS="--opt …"
	mkdir -p build/tmp
	BENTOML_HOME="$(CURDIR)/build" $(SERVE_ENV)/bin/bentoml build --version $(SERVICE_VERSION) --output tag
	cd build && TMPDIR="$(CURDIR)/build/tmp" BENTOML_HOME="$(CURDIR)/build" BUILDAH_FORMAT=docker ../$(SERVE_ENV)/bin/bentoml containerize \
		chest_xray:$(SERVICE_VERSION) --backend $(BUILDER) --image-tag $(IMAGE) $(OPTIONS)
	rm -rf build

# Without PyTorch, which is another file for each backend, and what only its CUDA build asks for.
lock: $(DEV_ENV)/.installed ## Choose the container's versions anew: service/requirements.lock
	$(DEV_ENV)/bin/uv pip compile requirements-serve.txt --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--generate-hashes --no-annotate --custom-compile-command "make lock" \
		| awk '!/^ / { left_out = /^(torch|triton|nvidia-|cuda-)/ && !/^nvidia-ml-py/ } !left_out' > service/requirements.lock.draft
	mv service/requirements.lock.draft service/requirements.lock

docs: $(DEV_ENV)/.installed ## Write the settings table of docs/operations.md
	$(RUN_IN) tests.tools.settings_table

clean: ## Remove environments and caches; runs/ and reports/ stay
	rm -rf $(SERVE_ENV) $(DEV_ENV) $(CHECKOV_ENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(SERVE_ENV)/.installed: requirements-serve.txt
	$(PYTHON) -m venv $(SERVE_ENV)
	$(SERVE_ENV)/bin/python -m service.commands.install requirements-serve.txt
	touch $@

$(CHECKOV_ENV)/.installed: tests/requirements-manifests.txt
	$(PYTHON) -m venv $(CHECKOV_ENV)
	$(CHECKOV_ENV)/bin/pip install --disable-pip-version-check -r tests/requirements-manifests.txt
	touch $@

$(DEV_ENV)/.installed: requirements-serve.txt requirements-train.txt tests/requirements.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(DEV_ENV)
	$(DEV_ENV)/bin/python -m service.commands.install requirements-train.txt tests/requirements.txt benchmarks/requirements.txt
	touch $@
