// RUN: fleet-opt %s --fleet-form-tasks -split-input-file -verify-diagnostics

func.func @step(%x: tensor<2x16xf32>) -> tensor<2xi32> {
  %i = tensor.empty() : tensor<2xi32>
  %e = tensor.empty() : tensor<2x16xf32>
  // expected-error @+1 {{unsupported operation 'linalg.softmax' in the step: fleet takes contractions, element-wise operations, gather, norms, rope, attention and argmax; give it a named op in the importer}}
  %0 = linalg.softmax dimension(1) ins(%x : tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  %1 = fleet.argmax ins(%0 : tensor<2x16xf32>) outs(%i : tensor<2xi32>) -> tensor<2xi32>
  return %1 : tensor<2xi32>
}

// -----

func.func @step(%x: tensor<2x16xf32>) -> tensor<2x16xf32> {
  // expected-error @+1 {{expected the step to return whole values, found a view or an input}}
  return %x : tensor<2x16xf32>
}

// -----

func.func @step(%x: tensor<2x16xf32>) -> tensor<1xi32> {
  %i = tensor.empty() : tensor<2xi32>
  %0 = fleet.argmax ins(%x : tensor<2x16xf32>) outs(%i : tensor<2xi32>) -> tensor<2xi32>
  %1 = tensor.extract_slice %0[0] [1] [1] : tensor<2xi32> to tensor<1xi32>
  // expected-error @+1 {{expected the step to return whole values, found a view or an input}}
  return %1 : tensor<1xi32>
}

// -----

// expected-error @+1 {{expected a function @step, found none}}
module {}
