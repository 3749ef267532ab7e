// RUN: fleet-opt %s -split-input-file --fleet-nvgpu-order-weights | FileCheck %s

// The kernel reads weights as wgmma does: those of bf16, of tiles of 16 columns and of whole steps of 16 deep, are stored so.
// CHECK: module attributes {fleet.manifest = {params = [
// CHECK-SAME: {dtype = "bf16", name = "taken", order = "wgmma-256", pack = 16 : i64, shape = [32, 64]}
// CHECK-SAME: {dtype = "f32", name = "wide", pack = 16 : i64, shape = [32, 64]}
// CHECK-SAME: {dtype = "bf16", name = "columns", pack = 32 : i64, shape = [32, 64]}
// CHECK-SAME: {dtype = "bf16", name = "depth", pack = 16 : i64, shape = [32, 72]}
// CHECK-SAME: {dtype = "bf16", name = "plain", pack = 0 : i64, shape = [32, 64]}
// CHECK-SAME: {dtype = "bf16", name = "norm", pack = 0 : i64, shape = [64]}
// CHECK-SAME: ], tokens = 32 : i64}
module attributes {fleet.manifest = {tokens = 32 : i64, params = [
    {name = "taken", dtype = "bf16", pack = 16 : i64, shape = [32, 64]}, {name = "wide", dtype = "f32", pack = 16 : i64, shape = [32, 64]},
    {name = "columns", dtype = "bf16", pack = 32 : i64, shape = [32, 64]}, {name = "depth", dtype = "bf16", pack = 16 : i64, shape = [32, 72]},
    {name = "plain", dtype = "bf16", pack = 0 : i64, shape = [32, 64]}, {name = "norm", dtype = "bf16", pack = 0 : i64, shape = [64]}]}} {
  gpu.module @fleet attributes {fleet.ordered_weights} {}
}

// -----

// A kernel that reads them row by row is not marked, and nothing else is.
// CHECK: module attributes {fleet.manifest = {params = [
// CHECK-SAME: {dtype = "bf16", pack = 16 : i64, shape = [32, 64]}
// CHECK-NOT: order
module attributes {fleet.manifest = {params = [{dtype = "bf16", pack = 16 : i64, shape = [32, 64]}]}} {
  gpu.module @fleet {}
}

// -----

// Nor does it need a manifest.
// CHECK: module {
// CHECK-NOT: order
module {
  gpu.module @fleet {}
}
