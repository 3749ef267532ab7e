//===- BufferizableOpInterfaceImpl.cpp - Bufferization ----------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::bufferization;

namespace {
template <typename OpTy>
struct NamedOpModel : public DstBufferizableOpInterfaceExternalModel<NamedOpModel<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &) const {
    // Every element of the output is written, none is read.
    return cast<DestinationStyleOpInterface>(op).isDpsInput(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options,
                          BufferizationState &state) const {
    rewriter.setInsertionPoint(op);
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      if (!isa<TensorType>(operand.getType())) {
        operands.push_back(operand);
        continue;
      }
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      operands.push_back(*buffer);
    }
    mlir::clone(rewriter, op, TypeRange(), operands);
    replaceOpWithBufferizedValues(rewriter, op, operands.back());
    return success();
  }
};
} // namespace

void mlir::fleet::registerBufferizableOpInterfaceExternalModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, FleetDialect *) {
    GatherOp::attachInterface<NamedOpModel<GatherOp>>(*context);
    RmsNormOp::attachInterface<NamedOpModel<RmsNormOp>>(*context);
    LayerNormOp::attachInterface<NamedOpModel<LayerNormOp>>(*context);
    RopeOp::attachInterface<NamedOpModel<RopeOp>>(*context);
    AttentionOp::attachInterface<NamedOpModel<AttentionOp>>(*context);
    AttentionPartialOp::attachInterface<NamedOpModel<AttentionPartialOp>>(*context);
    AttentionMergeOp::attachInterface<NamedOpModel<AttentionMergeOp>>(*context);
    ArgmaxOp::attachInterface<NamedOpModel<ArgmaxOp>>(*context);
    ArgmaxPartialOp::attachInterface<NamedOpModel<ArgmaxPartialOp>>(*context);
    ArgmaxMergeOp::attachInterface<NamedOpModel<ArgmaxMergeOp>>(*context);
  });
}
