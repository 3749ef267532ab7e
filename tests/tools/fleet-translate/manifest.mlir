// REQUIRES: fleet-translate
// RUN: split-file %s %t
// RUN: fleet-translate --to-manifest %t/placed.mlir | FileCheck %t/placed.mlir
// RUN: fleet-translate --to-manifest %t/package.mlir -o %t/package.json
// RUN: FileCheck %t/package.mlir --input-file=%t/package.json
// RUN: not fleet-translate --to-manifest %t/none.mlir 2>&1 | FileCheck %t/none.mlir

//--- placed.mlir
// CHECK:      {
// CHECK-NEXT:   "arenas": {
// CHECK-NEXT:     "params": 64,
// CHECK-NEXT:     "work": 128
// CHECK-NEXT:   },
// CHECK-NEXT:   "params": [
// CHECK-NEXT:     {
// CHECK-NEXT:       "names": [
// CHECK-NEXT:         "a",
// CHECK-NEXT:         "b"
// CHECK-NEXT:       ],
// CHECK-NEXT:       "offset": 0
// CHECK-NEXT:     }
// CHECK-NEXT:   ],
// CHECK-NEXT:   "target": "cpu"
// CHECK-NEXT: }
module attributes {fleet.manifest = {arenas = {params = 64 : i64, work = 128 : i64}, params = [{names = ["a", "b"], offset = 0 : i64}], target = "cpu"}} {}

//--- package.mlir
// CHECK: {
// CHECK-NEXT: "tokens": 4
// CHECK-NEXT: }
module {
  fleet.package @fleet_step {format = "embedded-elf", manifest = {tokens = 4 : i64}}
}

//--- none.mlir
// CHECK: error: expected a module with a manifest (phase memory or later), found none
module {}
