// RUN: fleet-opt %s --fleet-cut-workers -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module {}
