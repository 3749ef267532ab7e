// RUN: fleet-opt %s --fleet-begin-phase=expect=import -split-input-file -verify-diagnostics

// A module without a phase is what the importer hands over.
// expected-error @+1 {{expected a module in phase import, found raw}}
module {}

// -----

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module attributes {fleet.phase = "import"} {}

// -----

// The name of a phase without its form.
// expected-error @+1 {{expected a function @step, found none}}
module attributes {fleet.phase = "import", fleet.target = #fleet.target<"study", backend = llvm, chiplets = 1, workers = 1, lds = 1, l2 = 1, hbm_gbs = 1, tile = 16>} {}
