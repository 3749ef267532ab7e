# The commands of every day. `make run` and `make test` work from a bare clone.
VENV ?= .venv
BUILD ?= build
MODEL ?= smollm2
PROMPT ?= The capital of France is
TOKENS ?= 24
export VENV BUILD

FLEET = PATH=/usr/lib/llvm-22/bin:$$PATH $(VENV)/bin/fleet

.PHONY: help setup run test test-slow bench docs format clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: ## system packages, virtual environment, build
	@scripts/setup

run: setup ## compile a small model and generate with it
	@$(FLEET) run --model $(MODEL) --prompt "$(PROMPT)" --max-new-tokens $(TOKENS) --report

test: setup ## lit, pytest, ruff
	@scripts/test

test-slow: setup ## the same with the tests marked slow
	@scripts/test --slow

bench: setup ## the benchmarks of benchmarks/
	@PATH=/usr/lib/llvm-22/bin:$$PATH scripts/bench

docs: ## the dialect and pass reference in docs/reference/
	@ninja -C $(BUILD) --quiet fleet-docs
	@cp $(BUILD)/docs/*.md docs/reference/

format: ## clang-format and ruff format
	@git ls-files '*.h' '*.cpp' | xargs -r /usr/lib/llvm-22/bin/clang-format -i
	@$(VENV)/bin/ruff check --fix -q .

clean: ## the build tree; the virtual environment stays
	@rm -rf $(BUILD)
