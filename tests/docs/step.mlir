// A decoder of one layer (norm, attention, residual) in the importer's form: one row, one slot of 16 positions.
// docs/Pipelines.md shows what the phases make of it.
// RUN: fleet-opt %s "--fleet-set-target=target=cpu chiplets=2 workers=2" --fleet-phase-import --fleet-phase-tasks \
// RUN:   --fleet-phase-chiplets --fleet-phase-tiles --fleet-phase-memory --fleet-phase-events --fleet-phase-schedule \
// RUN:   --fleet-phase-kernel --fleet-phase-target --fleet-phase-package | FileCheck %s
// CHECK: fleet.phase{{.*}}"package"
// CHECK: llvm.func @fleet_step
// CHECK: fleet.package @fleet_step

#same = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.slots = 1 : i64, fleet.context = 16 : i64, fleet.layers = 1 : i64} {
  func.func private @embed(tensor<256x64xbf16>, tensor<1xi32>) -> tensor<1x64xbf16> attributes {fleet.op = "gather"}
  func.func private @normalise(tensor<1x64xbf16>, tensor<64xbf16>) -> tensor<1x64xbf16>
      attributes {fleet.op = "rms_norm", eps = 1.0e-5 : f64}
  func.func private @attend(tensor<1x4x16xbf16>, tensor<1x2x16xbf16>, tensor<1x2x16xbf16>, tensor<1xi32>, tensor<1xi32>)
      -> tensor<1x4x16xbf16> attributes {fleet.op = "attention", layer = 0 : i64, scale = 0.25 : f64}
  func.func private @pick(tensor<1x64xbf16>, tensor<1xi32>) -> tensor<1x64xbf16> attributes {fleet.op = "gather"}
  func.func private @greedy(tensor<1x256xf32>) -> tensor<1xi32> attributes {fleet.op = "argmax"}

  func.func @step(%tokens: tensor<1xi32> {fleet.input = "tokens"}, %positions: tensor<1xi32> {fleet.input = "positions"},
                  %slots: tensor<1xi32> {fleet.input = "slots"}, %out_rows: tensor<1xi32> {fleet.input = "out_rows"},
                  %embedding: tensor<256x64xbf16> {fleet.param = "embedding"}, %norm: tensor<64xbf16> {fleet.param = "norm"},
                  %q: tensor<64x64xbf16> {fleet.param = "q"}, %k: tensor<32x64xbf16> {fleet.param = "k"},
                  %v: tensor<32x64xbf16> {fleet.param = "v"}, %o: tensor<64x64xbf16> {fleet.param = "o"},
                  %final: tensor<64xbf16> {fleet.param = "final"}, %head: tensor<256x64xbf16> {fleet.param = "head"}) -> (tensor<1x256xf32>, tensor<1xi32>) {
    %zero = arith.constant 0.0 : f32
    %x = call @embed(%embedding, %tokens) : (tensor<256x64xbf16>, tensor<1xi32>) -> tensor<1x64xbf16>
    %n = call @normalise(%x, %norm) : (tensor<1x64xbf16>, tensor<64xbf16>) -> tensor<1x64xbf16>
    %q1_t = tensor.empty() : tensor<64x64xbf16>
    %q1_w = linalg.transpose ins(%q : tensor<64x64xbf16>) outs(%q1_t : tensor<64x64xbf16>) permutation = [1, 0]
    %q1_e = tensor.empty() : tensor<1x64xf32>
    %q1_z = linalg.fill ins(%zero : f32) outs(%q1_e : tensor<1x64xf32>) -> tensor<1x64xf32>
    %q1_f = linalg.matmul ins(%n, %q1_w : tensor<1x64xbf16>, tensor<64x64xbf16>)
        outs(%q1_z : tensor<1x64xf32>) -> tensor<1x64xf32>
    %q1_b = tensor.empty() : tensor<1x64xbf16>
    %q1 = linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]}
        ins(%q1_f : tensor<1x64xf32>) outs(%q1_b : tensor<1x64xbf16>) {
    ^bb0(%in: f32, %out: bf16):
      %t = arith.truncf %in : f32 to bf16
      linalg.yield %t : bf16
    } -> tensor<1x64xbf16>
    %k1_t = tensor.empty() : tensor<64x32xbf16>
    %k1_w = linalg.transpose ins(%k : tensor<32x64xbf16>) outs(%k1_t : tensor<64x32xbf16>) permutation = [1, 0]
    %k1_e = tensor.empty() : tensor<1x32xf32>
    %k1_z = linalg.fill ins(%zero : f32) outs(%k1_e : tensor<1x32xf32>) -> tensor<1x32xf32>
    %k1_f = linalg.matmul ins(%n, %k1_w : tensor<1x64xbf16>, tensor<64x32xbf16>)
        outs(%k1_z : tensor<1x32xf32>) -> tensor<1x32xf32>
    %k1_b = tensor.empty() : tensor<1x32xbf16>
    %k1 = linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]}
        ins(%k1_f : tensor<1x32xf32>) outs(%k1_b : tensor<1x32xbf16>) {
    ^bb0(%in: f32, %out: bf16):
      %t = arith.truncf %in : f32 to bf16
      linalg.yield %t : bf16
    } -> tensor<1x32xbf16>
    %v1_t = tensor.empty() : tensor<64x32xbf16>
    %v1_w = linalg.transpose ins(%v : tensor<32x64xbf16>) outs(%v1_t : tensor<64x32xbf16>) permutation = [1, 0]
    %v1_e = tensor.empty() : tensor<1x32xf32>
    %v1_z = linalg.fill ins(%zero : f32) outs(%v1_e : tensor<1x32xf32>) -> tensor<1x32xf32>
    %v1_f = linalg.matmul ins(%n, %v1_w : tensor<1x64xbf16>, tensor<64x32xbf16>)
        outs(%v1_z : tensor<1x32xf32>) -> tensor<1x32xf32>
    %v1_b = tensor.empty() : tensor<1x32xbf16>
    %v1 = linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]}
        ins(%v1_f : tensor<1x32xf32>) outs(%v1_b : tensor<1x32xbf16>) {
    ^bb0(%in: f32, %out: bf16):
      %t = arith.truncf %in : f32 to bf16
      linalg.yield %t : bf16
    } -> tensor<1x32xbf16>
    %qh = tensor.expand_shape %q1 [[0], [1, 2]] output_shape [1, 4, 16] : tensor<1x64xbf16> into tensor<1x4x16xbf16>
    %kh = tensor.expand_shape %k1 [[0], [1, 2]] output_shape [1, 2, 16] : tensor<1x32xbf16> into tensor<1x2x16xbf16>
    %vh = tensor.expand_shape %v1 [[0], [1, 2]] output_shape [1, 2, 16] : tensor<1x32xbf16> into tensor<1x2x16xbf16>
    %ah = call @attend(%qh, %kh, %vh, %slots, %positions)
        : (tensor<1x4x16xbf16>, tensor<1x2x16xbf16>, tensor<1x2x16xbf16>, tensor<1xi32>, tensor<1xi32>) -> tensor<1x4x16xbf16>
    %a = tensor.collapse_shape %ah [[0], [1, 2]] : tensor<1x4x16xbf16> into tensor<1x64xbf16>
    %o1_t = tensor.empty() : tensor<64x64xbf16>
    %o1_w = linalg.transpose ins(%o : tensor<64x64xbf16>) outs(%o1_t : tensor<64x64xbf16>) permutation = [1, 0]
    %o1_e = tensor.empty() : tensor<1x64xf32>
    %o1_z = linalg.fill ins(%zero : f32) outs(%o1_e : tensor<1x64xf32>) -> tensor<1x64xf32>
    %o1_f = linalg.matmul ins(%a, %o1_w : tensor<1x64xbf16>, tensor<64x64xbf16>)
        outs(%o1_z : tensor<1x64xf32>) -> tensor<1x64xf32>
    %o1_b = tensor.empty() : tensor<1x64xbf16>
    %o1 = linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]}
        ins(%o1_f : tensor<1x64xf32>) outs(%o1_b : tensor<1x64xbf16>) {
    ^bb0(%in: f32, %out: bf16):
      %t = arith.truncf %in : f32 to bf16
      linalg.yield %t : bf16
    } -> tensor<1x64xbf16>
    %y = linalg.generic {indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]}
        ins(%x, %o1 : tensor<1x64xbf16>, tensor<1x64xbf16>) outs(%q1_b : tensor<1x64xbf16>) {
    ^bb0(%left: bf16, %right: bf16, %out: bf16):
      %t = arith.addf %left, %right : bf16
      linalg.yield %t : bf16
    } -> tensor<1x64xbf16>
    %yn = call @normalise(%y, %final) : (tensor<1x64xbf16>, tensor<64xbf16>) -> tensor<1x64xbf16>
    %last = call @pick(%yn, %out_rows) : (tensor<1x64xbf16>, tensor<1xi32>) -> tensor<1x64xbf16>
    %logits_t = tensor.empty() : tensor<64x256xbf16>
    %logits_w = linalg.transpose ins(%head : tensor<256x64xbf16>) outs(%logits_t : tensor<64x256xbf16>) permutation = [1, 0]
    %logits_e = tensor.empty() : tensor<1x256xf32>
    %logits_z = linalg.fill ins(%zero : f32) outs(%logits_e : tensor<1x256xf32>) -> tensor<1x256xf32>
    %logits = linalg.matmul ins(%last, %logits_w : tensor<1x64xbf16>, tensor<64x256xbf16>)
        outs(%logits_z : tensor<1x256xf32>) -> tensor<1x256xf32>
    %ids = call @greedy(%logits) : (tensor<1x256xf32>) -> tensor<1xi32>
    return %logits, %ids : tensor<1x256xf32>, tensor<1xi32>
  }
}
