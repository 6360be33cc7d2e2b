# make            prints this help
# Variables of the reproduce targets: BUDGET=paper|short|smoke SEEDS=n PRECISION=bf16|fp32 DEVICES=n JOBS=n DATA=imagenette_full DATA_DIR=... AUTHORS_LOG=... WORKSPACE=... DRY_RUN=1 MEASURE=1
# To choose among their cells, if they have these: DEPTHS=20,32 STAGES=selection METHODS=ttq,twn CHANGES=t002,t010

VENV   ?= .venv
PYTHON ?= python3
# A stand-in data set has a short schedule of its own.
BUDGET ?= $(if $(filter-out cifar10 ilsvrc12%,$(DATA)),short,paper)
SEEDS  ?= 1
RUN    := $(VENV)/bin/python

FALSE := 0 no No NO off Off OFF false False FALSE
# An option whose value is a path, quoted for the shell and for Hydra.
path_option = '$(1)="$(subst ','\'',$(2))"'
# The folder of results/ and outputs/; by default this checkout, whose recorded runs are not trained
# again. Never taken from the environment, where other tools use that name.
IN_WORKSPACE = $(if $(filter command,$(firstword $(origin WORKSPACE))),$(call path_option,workspace,$(WORKSPACE)))
IN_AUTHORS_LOG = $(if $(AUTHORS_LOG),$(call path_option,authors_log,$(AUTHORS_LOG)))
REPRODUCE = $(RUN) scripts/reproduce.py budget=$(BUDGET) seeds=$(SEEDS) \
	dry_run=$(if $(filter-out $(FALSE),$(DRY_RUN)),true,false) \
	measure=$(if $(filter-out $(FALSE),$(MEASURE)),true,false) \
	$(if $(PRECISION),precision=$(PRECISION)) $(if $(DEVICES),devices=$(DEVICES)) $(if $(JOBS),jobs=$(JOBS)) $(if $(DATA),dataset=$(DATA)) $(if $(DATA_DIR),$(call path_option,data_dir,$(DATA_DIR))) \
	$(IN_AUTHORS_LOG) $(IN_WORKSPACE) \
	$(if $(DEPTHS),'+only.depth=[$(DEPTHS)]') $(if $(STAGES),'+only.stage=[$(STAGES)]') $(if $(METHODS),'+only.method=[$(METHODS)]') $(if $(CHANGES),'+only.change=[$(CHANGES)]')

# A variable with a mistyped name would be ignored: other runs would be trained than are meant, for
# hours, or committed results drawn anew without what was given.
KNOWN := BUDGET SEEDS PRECISION DEVICES JOBS DATA DATA_DIR WORKSPACE DRY_RUN MEASURE DEPTHS STAGES METHODS \
	CHANGES AUTHORS_LOG ENTITY VENV PYTHON CXX
# Of other programs; make passes all variables on.
THEIRS := CUDA_% OMP_% TORCH% WANDB_%
SPACE := $(subst ,, )
GIVEN := $(foreach word,$(subst \$(SPACE),_,$(MAKEOVERRIDES)),$(firstword $(subst =, ,$(word))))
MISTYPED := $(filter-out $(KNOWN) $(KNOWN:%=%:) $(KNOWN:%=%+) $(THEIRS),$(GIVEN))
ifneq ($(MISTYPED),)
$(error $(MISTYPED): no such variable; known are $(KNOWN))
endif

ARTIFACTS := $(addprefix reproduce-,table1 table2 table3 table4 comparison figure1 figure2 figure3 \
	figure4 figure5 figure6 ablations best-ternary authors-code)

.DEFAULT_GOAL := help
.PHONY: help setup lock test test-slow sanitize soak dashboard report readme lint quickstart benchmark \
	benchmark-inference sizes reproduce-equality $(ARTIFACTS)

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  reproduce-* take BUDGET=paper|short|smoke SEEDS=n PRECISION=bf16|fp32 DEVICES=n JOBS=n DATA=imagenette_full DATA_DIR=... AUTHORS_LOG=... WORKSPACE=... DRY_RUN=1 MEASURE=1"
	@echo "  and DEPTHS=20,32 STAGES=selection METHODS=ttq,twn CHANGES=t002,t010, to choose among their cells"

setup: $(VENV)/.complete ## create .venv with everything pinned in requirements.lock

$(VENV)/.complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --quiet --python $(RUN) --compile-bytecode --require-hashes -r requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(RUN) --no-deps -e .
	@touch $@

lock: ## update requirements.lock from pyproject.toml
	$(VENV)/bin/uv pip compile pyproject.toml --extra dev --extra benchmark --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock

test: setup ## the fast tests (DATA_DIR=... adds those that read real images)
	OMP_NUM_THREADS=1 DATA_DIR="$(DATA_DIR)" $(RUN) -m pytest -n 2

test-slow: setup ## the tests that take minutes each (DATA_DIR=... adds those that read real images)
	OMP_NUM_THREADS=1 DATA_DIR="$(DATA_DIR)" $(RUN) -m pytest -m slow --timeout 7200

SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=all -DEMULATED_TILES
sanitize: setup ## the runtime's tests under AddressSanitizer and UBSan, a few minutes
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 CXX="$(CXX) $(SANITIZERS)" OMP_NUM_THREADS=1 \
		$(RUN) -m pytest tests/deploy/runtime/test_kernels.py tests/deploy/runtime/test_layers.py \
		-s --timeout 1800

soak: setup ## inject faults thousands of times, about an hour; writes results/benchmarks/faults
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests/faults --soak --timeout 5400

dashboard: setup ## the wandb workspace as JSON; with an API key, also save it (ENTITY=team)
	$(RUN) scripts/dashboard.py $(if $(ENTITY),entity=$(ENTITY))

report: setup ## tables, figures, verdicts and results/report.html from records (AUTHORS_LOG=folder)
	$(RUN) scripts/report.py $(IN_AUTHORS_LOG) $(IN_WORKSPACE)

readme: setup ## update the generated parts of README.md and docs/
	$(RUN) scripts/readme.py

lint: setup ## ruff and mypy
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

quickstart: setup ## the whole Table 1 pipeline on embedded digits, in minutes, no download
	$(RUN) scripts/reproduce.py artifact=table1 budget=smoke dataset=digits $(IN_WORKSPACE) \
		'+only.depth=[20,32]' '+only.method=[full_precision,ttq]'

reproduce-table1: ## Table 1: ResNets on CIFAR-10, full precision, TTQ and the control
reproduce-table2: ## Table 2: AlexNet-BN on ILSVRC12 (DATA=imagenette_full: ten classes of it)
reproduce-table3: ## Table 3: ResNet-18B on ILSVRC12 (DATA=imagenette_full)
reproduce-table4: ## Table 4: densities of AlexNet-BN under TTQ (DATA=imagenette_full)
reproduce-comparison: ## every method on ResNet-20 from one parent (METHODS=ttq,twn)
reproduce-figure1: ## Figure 1: a layer's weights in four stages, before and after training
reproduce-figure2: ## Figure 2: scales and signs over training (AUTHORS_LOG=folder)
reproduce-figure3: ## Figure 3: error by epoch, by method (AUTHORS_LOG=folder)
reproduce-figure4: ## Figure 4: accuracy of AlexNet-BN by epoch (DATA=imagenette_full; AUTHORS_LOG=folder)
reproduce-figure5: ## Figure 5: error against sparsity
reproduce-figure6: ## Figure 6: ternary kernels of AlexNet-BN (DATA=imagenette_full)
reproduce-ablations: ## what the paper leaves open or claims, one change per row (CHANGES=t002,t010)
reproduce-best-ternary: ## our own target: the best ternary ResNet-20 (STAGES=selection first, then STAGES=test)
reproduce-authors-code: ## TTQ as the authors released it, drawn over their log (AUTHORS_LOG=folder)

$(ARTIFACTS): reproduce-%: setup
	$(REPRODUCE) artifact=$(subst -,_,$*)

reproduce-equality: setup ## fast training in bf16 against float32, over seeds (BUDGET=short SEEDS=3)
	@# One after another, the second even if the first fails, but not if it is interrupted.
	$(if $(PRECISION),$(REPRODUCE) artifact=equality,\
		$(REPRODUCE) artifact=equality precision=bf16; bf16=$$?; [ $$bf16 -ne 130 ] || exit 130; \
		$(REPRODUCE) artifact=equality precision=fp32 && exit $$bf16)

benchmark: setup ## training speed against a typical script, minutes (results/benchmarks)
	$(RUN) scripts/benchmark.py $(IN_WORKSPACE)

benchmark-inference: setup ## inference speed of packed against float networks, 10 minutes (results/benchmarks)
	$(RUN) scripts/benchmark_inference.py $(IN_WORKSPACE)

sizes: setup ## bytes on disk by part, and operations, of every network (results/benchmarks)
	$(RUN) scripts/sizes.py $(IN_WORKSPACE)
