# make            prints this help
# Variables of the reproduce targets: BUDGET=paper|short|smoke SEEDS=n PRECISION=bf16|fp32 DEVICES=n JOBS=n DATA_DIR=... DRY_RUN=1 MEASURE=1

VENV   ?= .venv
PYTHON ?= python3
# A stand-in data set is trained at its own, short schedule.
BUDGET ?= $(if $(DATA),short,paper)
SEEDS  ?= 1
RUN    := $(VENV)/bin/python

FALSE := 0 no off false
REPRODUCE = $(RUN) scripts/reproduce.py budget=$(BUDGET) seeds=$(SEEDS) \
	dry_run=$(if $(filter-out $(FALSE),$(DRY_RUN)),true,false) \
	measure=$(if $(filter-out $(FALSE),$(MEASURE)),true,false) \
	$(if $(PRECISION),precision=$(PRECISION)) $(if $(DEVICES),devices=$(DEVICES)) $(if $(JOBS),jobs=$(JOBS)) $(if $(DATA),dataset=$(DATA)) $(if $(DATA_DIR),'data_dir="$(DATA_DIR)"') \
	$(if $(AUTHORS_LOG),'authors_log="$(AUTHORS_LOG)"')

.DEFAULT_GOAL := help
.PHONY: help setup lock test sanitize soak dashboard report readme lint quickstart benchmark \
	benchmark-inference sizes reproduce-table1 reproduce-comparison reproduce-figure1 \
	reproduce-figure2 reproduce-figure3 reproduce-figure5 reproduce-ablations \
	reproduce-equality reproduce-best-ternary reproduce-authors-code reproduce-table2 \
	reproduce-table3 reproduce-table4 reproduce-figure4 reproduce-figure6

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  reproduce-* take BUDGET=paper|short|smoke SEEDS=n PRECISION=bf16|fp32 DEVICES=n JOBS=n DATA_DIR=... DRY_RUN=1 MEASURE=1"

setup: $(VENV)/.complete ## .venv with everything pinned in requirements.lock

$(VENV)/.complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --quiet --python $(RUN) --compile-bytecode --require-hashes -r requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(RUN) --no-deps -e .
	@touch $@

lock: ## renew requirements.lock from pyproject.toml
	$(VENV)/bin/uv pip compile pyproject.toml --extra dev --extra benchmark --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock

test: setup ## the fast tests (DATA_DIR=... adds those that read real images)
	OMP_NUM_THREADS=1 DATA_DIR=$(DATA_DIR) $(RUN) -m pytest -n 2

SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=all -DEMULATED_TILES
sanitize: setup ## the runtime's tests under AddressSanitizer and UBSan, a few minutes
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 CXX="$(CXX) $(SANITIZERS)" OMP_NUM_THREADS=1 \
		$(RUN) -m pytest tests/deploy/runtime/test_kernels.py tests/deploy/runtime/test_layers.py \
		-s --timeout 1800

soak: setup ## faults tried hundreds of times, an hour or so; writes results/benchmarks/faults
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests/faults --soak --timeout 5400

dashboard: setup ## the wandb workspace as JSON, saved where there is a key (ENTITY=team)
	$(RUN) scripts/dashboard.py $(if $(ENTITY),entity=$(ENTITY))

report: setup ## tables, figures, verdicts and results/report.html from records (AUTHORS_LOG=folder)
	$(RUN) scripts/report.py $(if $(AUTHORS_LOG),'authors_log="$(AUTHORS_LOG)"')

readme: setup ## renew the tables in README.md and docs/
	$(RUN) scripts/readme.py

lint: setup ## ruff and mypy
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

quickstart: setup ## the whole Table 1 pipeline on embedded digits, in minutes, no download
	$(RUN) scripts/reproduce.py artifact=table1 budget=smoke dataset=digits \
		'+only.depth=[20,32]' '+only.column=[full_precision,ttq]'

reproduce-table1: setup ## Table 1: ResNets on CIFAR-10, full precision, TTQ and the control
	$(REPRODUCE) artifact=table1 $(if $(DEPTHS),'+only.depth=[$(DEPTHS)]')

reproduce-table2: setup ## Table 2: AlexNet-BN on ILSVRC12 (DATA=imagenette_full: ten classes of it)
	$(REPRODUCE) artifact=table2 $(if $(METHODS),'+only.method=[$(METHODS)]')

reproduce-table3: setup ## Table 3: ResNet-18B on ILSVRC12 (DATA=imagenette_full)
	$(REPRODUCE) artifact=table3 $(if $(METHODS),'+only.method=[$(METHODS)]')

reproduce-table4: setup ## Table 4: densities of AlexNet-BN under TTQ (DATA=imagenette_full)
	$(REPRODUCE) artifact=table4

reproduce-comparison: setup ## every method on ResNet-20 from one parent (METHODS=ttq,twn)
	$(REPRODUCE) artifact=comparison $(if $(METHODS),'+only.method=[$(METHODS)]')

reproduce-figure1: setup ## Figure 1: a layer's weights in four stages, before and after training
	$(REPRODUCE) artifact=figure1

reproduce-figure2: setup ## Figure 2: scales and signs over training (AUTHORS_LOG=folder)
	$(REPRODUCE) artifact=figure2

reproduce-figure3: setup ## Figure 3: error by epoch, by method (AUTHORS_LOG=folder)
	$(REPRODUCE) artifact=figure3

reproduce-figure4: setup ## Figure 4: accuracy of AlexNet-BN by epoch (DATA=imagenette_full; AUTHORS_LOG=folder)
	$(REPRODUCE) artifact=figure4

reproduce-figure5: setup ## Figure 5: error against sparsity
	$(REPRODUCE) artifact=figure5

reproduce-figure6: setup ## Figure 6: ternary kernels of AlexNet-BN (DATA=imagenette_full)
	$(REPRODUCE) artifact=figure6

reproduce-ablations: setup ## what the paper leaves open or claims, one change a row (CHANGES=t002,t010)
	$(REPRODUCE) artifact=ablations $(if $(CHANGES),'+only.change=[$(CHANGES)]')

reproduce-equality: setup ## the fast path against float32, over seeds (BUDGET=short SEEDS=3)
	@# One after another, whatever becomes of the first.
	$(REPRODUCE) artifact=equality precision=bf16; bf16=$$?; \
		$(REPRODUCE) artifact=equality precision=fp32 && exit $$bf16

reproduce-best-ternary: setup ## our own target: the best ternary ResNet-20 (METHODS=seq,twn_distilled)
	$(REPRODUCE) artifact=best_ternary $(if $(METHODS),'+only.method=[$(METHODS)]')

reproduce-authors-code: setup ## TTQ as released, over the released log (AUTHORS_LOG=folder)
	$(REPRODUCE) artifact=authors_code

benchmark: setup ## speed of training against the usual script, minutes (results/benchmarks)
	$(RUN) scripts/benchmark.py

benchmark-inference: setup ## packed networks against float ones, 10 minutes (results/benchmarks)
	$(RUN) scripts/benchmark_inference.py

sizes: setup ## bytes on disk by part, and operations, of every network (results/benchmarks)
	$(RUN) scripts/sizes.py
