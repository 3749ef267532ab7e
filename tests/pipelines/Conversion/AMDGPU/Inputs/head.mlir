// The head of a bf16 decoder as the importer hands it over: embedding, norm, head, argmax of 2 rows.
module attributes {fleet.slots = 2 : i64, fleet.context = 32 : i64, fleet.layers = 0 : i64} {
  func.func private @gather.0(tensor<512x64xbf16>, tensor<2xi32>) -> tensor<2x64xbf16> attributes {fleet.op = "gather"}
  func.func private @gather.1(tensor<2x64xbf16>, tensor<2xi32>) -> tensor<2x64xbf16> attributes {fleet.op = "gather"}
  func.func private @norm(tensor<2x64xbf16>, tensor<64xbf16>) -> tensor<2x64xbf16> attributes {fleet.op = "rms_norm", eps = 1.0e-5 : f64}
  func.func private @argmax(tensor<2x512xf32>) -> tensor<2xi32> attributes {fleet.op = "argmax"}

  func.func @step(%tokens: tensor<2xi32> {fleet.input = "tokens"}, %positions: tensor<2xi32> {fleet.input = "positions"},
                  %slots: tensor<2xi32> {fleet.input = "slots"}, %out_rows: tensor<2xi32> {fleet.input = "out_rows"},
                  %embed: tensor<512x64xbf16> {fleet.param = "embed"}, %weight: tensor<64xbf16> {fleet.param = "norm"},
                  %head: tensor<512x64xbf16> {fleet.param = "head"}) -> (tensor<2x512xf32>, tensor<2xi32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<2x512xf32>
    %t = tensor.empty() : tensor<64x512xbf16>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<2x512xf32>) -> tensor<2x512xf32>
    %x = call @gather.0(%embed, %tokens) : (tensor<512x64xbf16>, tensor<2xi32>) -> tensor<2x64xbf16>
    %rows = call @gather.1(%x, %out_rows) : (tensor<2x64xbf16>, tensor<2xi32>) -> tensor<2x64xbf16>
    %n = call @norm(%rows, %weight) : (tensor<2x64xbf16>, tensor<64xbf16>) -> tensor<2x64xbf16>
    %th = linalg.transpose ins(%head : tensor<512x64xbf16>) outs(%t : tensor<64x512xbf16>) permutation = [1, 0]
    %logits = linalg.matmul ins(%n, %th : tensor<2x64xbf16>, tensor<64x512xbf16>) outs(%z : tensor<2x512xf32>) -> tensor<2x512xf32>
    %ids = call @argmax(%logits) : (tensor<2x512xf32>) -> tensor<2xi32>
    return %logits, %ids : tensor<2x512xf32>, tensor<2xi32>
  }
}
