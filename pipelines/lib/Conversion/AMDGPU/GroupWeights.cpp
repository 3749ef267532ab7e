//===- GroupWeights.cpp - Weights in the order of MFMA operands
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GroupWeights.h"

#include "../GPU/Utils.h"

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_AMDGPUGROUPWEIGHTS
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;

/// Contracted elements of one MFMA step: 4 groups of lanes, kGroup each.
static constexpr int64_t kStep = 4 * kWeightGroup;

/// A packed weight `[N/nb][K][nb]` that is stored in groups.
static bool isGrouped(Type element, int64_t depth, int64_t columns) {
  return element.isBF16() && depth % kStep == 0 && columns % 16 == 0;
}

namespace {
struct AMDGPUGroupWeights : fleet::impl::AMDGPUGroupWeightsBase<AMDGPUGroupWeights> {
  /// Rewrites what reads argument `weight` of a body.
  LogicalResult group(func::FuncOp body, BlockArgument weight) {
    auto type = cast<MemRefType>(weight.getType());
    int64_t depth = type.getDimSize(1), columns = type.getDimSize(2);
    MLIRContext *context = &getContext();
    auto grouped = MemRefType::get({type.getDimSize(0), depth / kWeightGroup, columns, kWeightGroup},
                                   type.getElementType(), MemRefLayoutAttrInterface(),
                                   type.getMemorySpace());
    for (Operation *user : llvm::make_early_inc_range(weight.getUsers())) {
      auto tile = dyn_cast<memref::SubViewOp>(user);
      bool isTile = tile && tile.getType().getRank() == 2 &&
                    tile.getStaticSizes() == ArrayRef<int64_t>({1, depth, columns});
      if (!isTile || !llvm::all_of(tile->getUsers(), [&](Operation *reader) {
            auto matmul = dyn_cast<linalg::MatmulOp>(reader);
            return matmul && !matmul.hasUserDefinedMaps() && matmul.getInputs()[1] == tile;
          }))
        return user->emitOpError("expected a packed weight to be read tile by tile by linalg.matmul");
      OpBuilder b(tile);
      Location loc = tile.getLoc();
      Attribute zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
      SmallVector<OpFoldResult> offsets = {tile.getMixedOffsets()[0], zero, zero, zero};
      SmallVector<OpFoldResult> sizes = {one, b.getIndexAttr(depth / kWeightGroup),
                                         b.getIndexAttr(columns), b.getIndexAttr(kWeightGroup)};
      SmallVector<OpFoldResult> strides(4, one);
      auto resultType = memref::SubViewOp::inferRankReducedResultType(
          {depth / kWeightGroup, columns, kWeightGroup}, grouped, offsets, sizes, strides);
      Value newTile = memref::SubViewOp::create(b, loc, cast<MemRefType>(resultType), weight, offsets,
                                                sizes, strides);
      for (Operation *reader : llvm::make_early_inc_range(tile->getUsers())) {
        auto matmul = cast<linalg::MatmulOp>(reader);
        b.setInsertionPoint(matmul);
        Value lhs = matmul.getInputs()[0], out = matmul.getOutputs()[0];
        int64_t rows = cast<MemRefType>(lhs.getType()).getDimSize(0);
        SmallVector<ReassociationIndices> reassociation = {{0}, {1, 2}};
        Value groups = memref::ExpandShapeOp::create(
            b, loc, ArrayRef<int64_t>{rows, depth / kWeightGroup, kWeightGroup}, lhs, reassociation);
        AffineExpr m, n, k, g;
        bindDims(context, m, n, k, g);
        auto maps = AffineMap::inferFromExprList(
            ArrayRef<ArrayRef<AffineExpr>>{{m, k, g}, {k, n, g}, {m, n}}, context);
        using utils::IteratorType;
        auto generic = linalg::GenericOp::create(
            b, loc, TypeRange(), ValueRange{groups, newTile}, ValueRange{out}, maps,
            {IteratorType::parallel, IteratorType::parallel, IteratorType::reduction,
             IteratorType::reduction});
        generic.getRegion().takeBody(matmul.getRegion());
        matmul.erase();
      }
      tile.erase();
    }
    weight.setType(grouped);
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto modules = llvm::to_vector(module.getOps<gpu::GPUModuleOp>());
    if (modules.size() != 1 || !module->getAttrOfType<DictionaryAttr>("fleet.manifest")) {
      module.emitError("expected one gpu.module and a fleet.manifest");
      return signalPassFailure();
    }
    // The loader follows the manifest.
    IntegerAttr size = Builder(&getContext()).getI64IntegerAttr(kWeightGroup);
    if (failed(gpugen::setOnPacked(module, "group", size, isGrouped)))
      return signalPassFailure();
    gpu::GPUModuleOp kernel = modules.front();
    auto dispatch = kernel.lookupSymbol<func::FuncOp>("dispatch");
    if (!dispatch) {
      kernel.emitError("expected a function @dispatch");
      return signalPassFailure();
    }
    // Packed weights are the parameters of rank 3.
    llvm::SetVector<BlockArgument> weights;
    dispatch.walk([&](func::CallOp call) {
      auto body = kernel.lookupSymbol<func::FuncOp>(call.getCallee());
      for (auto [i, operand] : llvm::enumerate(call.getOperands())) {
        auto view = operand.getDefiningOp<memref::ViewOp>();
        auto type = dyn_cast<MemRefType>(operand.getType());
        if (view && view.getSource() == dispatch.getArgument(0) && type.getRank() == 3 &&
            isGrouped(type.getElementType(), type.getDimSize(1), type.getDimSize(2)))
          weights.insert(body.getArgument(i));
      }
    });
    for (BlockArgument weight : weights)
      if (failed(group(cast<func::FuncOp>(weight.getOwner()->getParentOp()), weight)))
        return signalPassFailure();
    for (auto body : kernel.getOps<func::FuncOp>())
      body.setFunctionType(FunctionType::get(&getContext(), body.front().getArgumentTypes(), {}));
    // The views that the calls pass.
    dispatch.walk([&](func::CallOp call) {
      auto body = kernel.lookupSymbol<func::FuncOp>(call.getCallee());
      for (auto [operand, type] : llvm::zip_equal(call.getOperands(), body.getArgumentTypes()))
        if (operand.getType() != type)
          operand.setType(type);
    });
  }
};
} // namespace
