// RUN: fleet-opt %s --fleet-generate-target -split-input-file -verify-diagnostics

// expected-error @+1 {{expected a module with a fleet.target, found none; run fleet-set-target}}
module {}
