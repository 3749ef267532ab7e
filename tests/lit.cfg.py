"""lit: the tests of the compiler. Run through ``build/tests/lit.site.cfg.py``."""

import os

import lit.formats

config.name = "fleet"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.excludes = ["Inputs", "python", "integration", "regression"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.fleet_obj_root, "tests")

tools = os.path.join(config.fleet_obj_root, "bin")
config.environment["PATH"] = os.pathsep.join([tools, config.llvm_tools_dir, os.environ["PATH"]])
config.environment["FILECHECK_OPTS"] = "--enable-var-scope --dump-input-context=20"
config.substitutions.append(("%fleet_src", config.fleet_src_root))

if os.path.exists(os.path.join(tools, "fleet-translate")):
    config.available_features.add("fleet-translate")
