// One layer of a decoder as the importer hands it over: embedding, norm, attention of 4 query heads on 2 kv heads,
// residual, norm of the wanted rows, head, argmax. 2 rows, 3 slots of 32 positions. The chip has 8 chiplets of 4 workers.
#id = affine_map<(d0, d1) -> (d0, d1)>
module attributes {fleet.slots = 3 : i64, fleet.context = 32 : i64, fleet.layers = 1 : i64,
                   fleet.target = #fleet.target<"study", backend = llvm, chiplets = 8, workers = 4, lds = 65536, l2 = 1048576, hbm_gbs = 100, tile = 16>} {
  func.func private @gather.0(tensor<32x16xf32>, tensor<2xi32>) -> tensor<2x16xf32> attributes {fleet.op = "gather"}
  func.func private @gather.1(tensor<2x16xf32>, tensor<2xi32>) -> tensor<2x16xf32> attributes {fleet.op = "gather"}
  func.func private @norm(tensor<2x16xf32>, tensor<16xf32>) -> tensor<2x16xf32> attributes {fleet.op = "rms_norm", eps = 1.0e-5 : f64}
  func.func private @rope.q(tensor<2x4x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x4x8xf32> attributes {fleet.op = "rope"}
  func.func private @rope.k(tensor<2x2x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x2x8xf32> attributes {fleet.op = "rope"}
  func.func private @attention(tensor<2x4x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x4x8xf32>
      attributes {fleet.op = "attention", layer = 0 : i64, scale = 0.35 : f64}
  func.func private @argmax(tensor<2x640xf32>) -> tensor<2xi32> attributes {fleet.op = "argmax"}

  func.func @step(%tokens: tensor<2xi32> {fleet.input = "tokens"}, %positions: tensor<2xi32> {fleet.input = "positions"},
                  %slots: tensor<2xi32> {fleet.input = "slots"}, %out_rows: tensor<2xi32> {fleet.input = "out_rows"},
                  %embed: tensor<32x16xf32> {fleet.param = "embed"}, %norm: tensor<16xf32> {fleet.param = "norm"},
                  %cos: tensor<32x8xf32> {fleet.param = "cos"}, %sin: tensor<32x8xf32> {fleet.param = "sin"},
                  %wq: tensor<32x16xf32> {fleet.param = "q"}, %wk: tensor<16x16xf32> {fleet.param = "k"},
                  %wv: tensor<16x16xf32> {fleet.param = "v"}, %wo: tensor<16x32xf32> {fleet.param = "o"},
                  %head: tensor<640x16xf32> {fleet.param = "head"}) -> (tensor<2x640xf32>, tensor<2xi32>) {
    %zero = arith.constant 0.0 : f32
    %e16 = tensor.empty() : tensor<2x16xf32>
    %e32 = tensor.empty() : tensor<2x32xf32>
    %e640 = tensor.empty() : tensor<2x640xf32>
    %t16x16 = tensor.empty() : tensor<16x16xf32>
    %t16x32 = tensor.empty() : tensor<16x32xf32>
    %t32x16 = tensor.empty() : tensor<32x16xf32>
    %t16x640 = tensor.empty() : tensor<16x640xf32>
    %z16 = linalg.fill ins(%zero : f32) outs(%e16 : tensor<2x16xf32>) -> tensor<2x16xf32>
    %z32 = linalg.fill ins(%zero : f32) outs(%e32 : tensor<2x32xf32>) -> tensor<2x32xf32>
    %z640 = linalg.fill ins(%zero : f32) outs(%e640 : tensor<2x640xf32>) -> tensor<2x640xf32>

    %x = call @gather.0(%embed, %tokens) : (tensor<32x16xf32>, tensor<2xi32>) -> tensor<2x16xf32>
    %n = call @norm(%x, %norm) : (tensor<2x16xf32>, tensor<16xf32>) -> tensor<2x16xf32>
    %tq = linalg.transpose ins(%wq : tensor<32x16xf32>) outs(%t16x32 : tensor<16x32xf32>) permutation = [1, 0]
    %tk = linalg.transpose ins(%wk : tensor<16x16xf32>) outs(%t16x16 : tensor<16x16xf32>) permutation = [1, 0]
    %tv = linalg.transpose ins(%wv : tensor<16x16xf32>) outs(%t16x16 : tensor<16x16xf32>) permutation = [1, 0]
    %q0 = linalg.matmul ins(%n, %tq : tensor<2x16xf32>, tensor<16x32xf32>) outs(%z32 : tensor<2x32xf32>) -> tensor<2x32xf32>
    %k0 = linalg.matmul ins(%n, %tk : tensor<2x16xf32>, tensor<16x16xf32>) outs(%z16 : tensor<2x16xf32>) -> tensor<2x16xf32>
    %v0 = linalg.matmul ins(%n, %tv : tensor<2x16xf32>, tensor<16x16xf32>) outs(%z16 : tensor<2x16xf32>) -> tensor<2x16xf32>
    %q1 = tensor.expand_shape %q0 [[0], [1, 2]] output_shape [2, 4, 8] : tensor<2x32xf32> into tensor<2x4x8xf32>
    %k1 = tensor.expand_shape %k0 [[0], [1, 2]] output_shape [2, 2, 8] : tensor<2x16xf32> into tensor<2x2x8xf32>
    %v1 = tensor.expand_shape %v0 [[0], [1, 2]] output_shape [2, 2, 8] : tensor<2x16xf32> into tensor<2x2x8xf32>
    %c = tensor.extract_slice %cos[0, 0] [2, 8] [1, 1] : tensor<32x8xf32> to tensor<2x8xf32>
    %s = tensor.extract_slice %sin[0, 0] [2, 8] [1, 1] : tensor<32x8xf32> to tensor<2x8xf32>
    %q = call @rope.q(%q1, %c, %s) : (tensor<2x4x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x4x8xf32>
    %k = call @rope.k(%k1, %c, %s) : (tensor<2x2x8xf32>, tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x2x8xf32>
    %a = call @attention(%q, %k, %v1, %slots, %positions) : (tensor<2x4x8xf32>, tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x4x8xf32>
    %a1 = tensor.collapse_shape %a [[0], [1, 2]] : tensor<2x4x8xf32> into tensor<2x32xf32>
    %to = linalg.transpose ins(%wo : tensor<16x32xf32>) outs(%t32x16 : tensor<32x16xf32>) permutation = [1, 0]
    %o = linalg.matmul ins(%a1, %to : tensor<2x32xf32>, tensor<32x16xf32>) outs(%z16 : tensor<2x16xf32>) -> tensor<2x16xf32>
    %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%x, %o : tensor<2x16xf32>, tensor<2x16xf32>) outs(%e16 : tensor<2x16xf32>) {
    ^bb0(%u: f32, %v: f32, %out: f32):
      %sum = arith.addf %u, %v : f32
      linalg.yield %sum : f32
    } -> tensor<2x16xf32>

    %rows = call @gather.1(%y, %out_rows) : (tensor<2x16xf32>, tensor<2xi32>) -> tensor<2x16xf32>
    %last = call @norm(%rows, %norm) : (tensor<2x16xf32>, tensor<16xf32>) -> tensor<2x16xf32>
    %th = linalg.transpose ins(%head : tensor<640x16xf32>) outs(%t16x640 : tensor<16x640xf32>) permutation = [1, 0]
    %logits = linalg.matmul ins(%last, %th : tensor<2x16xf32>, tensor<16x640xf32>) outs(%z640 : tensor<2x640xf32>) -> tensor<2x640xf32>
    %ids = call @argmax(%logits) : (tensor<2x640xf32>) -> tensor<2xi32>
    return %logits, %ids : tensor<2x640xf32>, tensor<2xi32>
  }
}
