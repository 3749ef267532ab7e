// RUN: fleet-opt %s --fleet-cpu-lower-math | FileCheck %s

// CHECK-LABEL: func @no_library
// CHECK-NOT: math.{{exp|cos|sin|erf|tanh}}
// CHECK: return
func.func @no_library(%x: vector<16xf32>) -> vector<16xf32> {
  %a = math.exp %x : vector<16xf32>
  %b = math.cos %a : vector<16xf32>
  %c = math.sin %b : vector<16xf32>
  %d = math.erf %c : vector<16xf32>
  %e = math.tanh %d : vector<16xf32>
  return %e : vector<16xf32>
}
