//===- PlaceBodies.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_PLACEBODIES
#include "fleet/Transforms/Passes.h.inc"

namespace {
MemRefType inSpace(MemRefType type, Attribute space) {
  return MemRefType::get(type.getShape(), type.getElementType(), type.getLayout(), space);
}

struct PlaceBodies : impl::PlaceBodiesBase<PlaceBodies> {
  LogicalResult place(func::FuncOp body) {
    Block &block = body.getBody().front();
    OpBuilder b(&getContext());
    auto hbm = MemoryScopeAttr::get(&getContext(), MemoryScope::Hbm);
    auto lds = MemoryScopeAttr::get(&getContext(), MemoryScope::Lds);
    for (BlockArgument arg : block.getArguments())
      if (auto type = dyn_cast<MemRefType>(arg.getType()))
        arg.setType(inSpace(type, hbm));

    // Results are written through the argument out: operands..., out, lo, hi.
    Operation *ret = block.getTerminator();
    BlockArgument out = block.getArgument(block.getNumArguments() - 3);
    if (ret->getNumOperands() == 1) {
      Value value = ret->getOperand(0);
      while (auto view = value.getDefiningOp<memref::CastOp>())
        value = view.getSource();
      if (value != out) {
        b.setInsertionPoint(ret);
        memref::CopyOp::create(b, body.getLoc(), value, out);
      }
      ret->setOperands({});
    }

    SmallVector<memref::AllocOp> allocs;
    body.walk([&](memref::AllocOp op) { allocs.push_back(op); });
    int64_t bytes = 0;
    SmallVector<int64_t> offsets;
    for (memref::AllocOp op : allocs) {
      MemRefType type = op.getType();
      if (!type.hasStaticShape() || !type.getLayout().isIdentity())
        return op.emitError("expected temporaries of static shape, found ") << type;
      offsets.push_back(bytes);
      bytes = llvm::alignTo(bytes + type.getNumElements() * (type.getElementTypeBitWidth() / 8), kArenaAlignment);
    }
    auto scratchType = MemRefType::get({std::max<int64_t>(bytes, kArenaAlignment)}, b.getI8Type(),
                                       MemRefLayoutAttrInterface(), lds);
    Value scratch = block.addArgument(scratchType, body.getLoc());
    for (auto [op, offset] : llvm::zip_equal(allocs, offsets)) {
      b.setInsertionPointToStart(&block);
      Value at = arith::ConstantIndexOp::create(b, op.getLoc(), offset);
      Value view = memref::ViewOp::create(b, op.getLoc(), inSpace(op.getType(), lds), scratch, at, ValueRange());
      op.replaceAllUsesWith(view);
      op.erase();
    }
    // Views have the memory scope of what they show.
    body.walk<WalkOrder::PreOrder>([&](ViewLikeOpInterface view) {
      auto from = dyn_cast<MemRefType>(view.getViewSource().getType());
      auto to = dyn_cast<MemRefType>(view->getResult(0).getType());
      if (from && to)
        view->getResult(0).setType(inSpace(to, from.getMemorySpace()));
    });
    body.setType(b.getFunctionType(block.getArgumentTypes(), {}));
    body->setAttr("fleet.scratch", b.getI64IntegerAttr(scratchType.getDimSize(0)));
    return success();
  }

  void runOnOperation() override {
    for (auto body : getOperation().getOps<func::FuncOp>())
      if (body->hasAttr("fleet.body") && failed(place(body)))
        return signalPassFailure();
  }
};
} // namespace
} // namespace mlir::fleet
