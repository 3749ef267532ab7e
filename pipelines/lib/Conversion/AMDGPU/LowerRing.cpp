//===- LowerRing.cpp - The ring of weights in LDS, as instructions
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The loads are written out. LLVM 22 makes every later access of LDS wait for all
// loads to LDS that it knows of, whatever they touch; what it does not know, it
// does not count, and its own waits only get stricter by it.
//
//===----------------------------------------------------------------------===//

#include "../GPU/Utils.h"

#include "fleet/Conversion/GPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_AMDGPULOWERRING
#include "fleet/Conversion/GPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

/// Bytes of a lane.
static constexpr int64_t kLane = 16;

namespace {
struct AMDGPULowerRing : mlir::fleet::impl::AMDGPULowerRingBase<AMDGPULowerRing> {
  using AMDGPULowerRingBase::AMDGPULowerRingBase;

  /// Bytes of the element at `indices` of a memref whose strides are known.
  FailureOr<Value> addressOf(Emitter &e, Operation *op, Value memref, ValueRange indices) {
    auto type = cast<MemRefType>(memref.getType());
    SmallVector<int64_t> strides;
    int64_t offset = 0;
    if (failed(type.getStridesAndOffset(strides, offset)) || offset ||
        llvm::any_of(strides, ShapedType::isDynamic) || strides.size() < indices.size())
      return op->emitOpError("expected a buffer with known strides, found ") << type;
    Value at = memref::ExtractAlignedPointerAsIndexOp::create(e.b, e.loc, memref);
    for (auto [index, stride] : llvm::zip(indices, strides))
      at = e.addIndex(at, e.mulIndex(index, stride * type.getElementTypeBitWidth() / 8));
    return at;
  }
  /// One value for all lanes, in scalar registers.
  Value uniform(Emitter &e, Value index, Type type) {
    Value value = arith::IndexCastOp::create(e.b, e.loc, type, index);
    return ROCDL::ReadfirstlaneOp::create(e.b, e.loc, type, value);
  }
  void instruct(Emitter &e, ValueRange operands, StringRef code, StringRef constraints) {
    LLVM::InlineAsmOp::create(e.b, e.loc, TypeRange(), operands, code, constraints,
                              /*has_side_effects=*/true, /*is_align_stack=*/false, LLVM::TailCallKind::None,
                              LLVM::AsmDialectAttr(), ArrayAttr());
  }

  /// The slot was read before: "s_waitcnt lgkmcnt(0)" says that this is done. M0 is
  /// the slot's place in LDS, to which the hardware adds 16 bytes for each lane. An
  /// instruction has to stand between a scalar write of M0 and the load, and five
  /// between a vector instruction's write of a scalar register and its use as address.
  /// M0 is nobody's: LLVM sets it right before instructions that need it, which
  /// these kernels do not have, and it takes no notice of it as a clobber.
  LogicalResult lower(Emitter &e, RingAskOp op) {
    Value slot = op.getSlot();
    FailureOr<Value> to = addressOf(e, op, op.getRing(), slot);
    FailureOr<Value> from = addressOf(e, op, op.getSource(), op.getIndices());
    if (failed(to) || failed(from))
      return failure();
    Value lane = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), e.mulIndex(e.lane(), kLane));
    Value place = uniform(e, *to, e.b.getI32Type());
    StringRef done = omit == "order" ? "" : "s_waitcnt lgkmcnt(0)\n";
    instruct(e, {place, lane, uniform(e, *from, e.b.getI64Type())},
             (done + "s_mov_b32 m0, $0\ns_nop 4\nglobal_load_lds_dwordx4 $1, $2").str(), "s,v,s,~{memory}");
    return success();
  }
  LogicalResult lower(Emitter &e, RingWaitOp op) {
    if (omit != "wait")
      instruct(e, {}, "s_waitcnt vmcnt(" + std::to_string(op.getLeft()) + ")", "~{memory}");
    return success();
  }
  LogicalResult lower(Emitter &e, RingReadOp op) {
    Value slot = op.getSlot();
    int64_t slots = cast<MemRefType>(op.getRing().getType()).getDimSize(0);
    if (shift)
      slot = arith::RemUIOp::create(e.b, e.loc, e.addIndex(slot, shift), e.index(slots));
    auto type = cast<VectorType>(op.getType());
    op.replaceAllUsesWith(e.loadRaw(op.getRing(), {slot, e.lane(), e.index(0)}, type.getNumElements()));
    return success();
  }

  void runOnOperation() override {
    if (!omit.empty() && omit != "wait" && omit != "order") {
      getOperation().emitError("expected a wait to omit among wait and order, found ") << omit;
      return signalPassFailure();
    }
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<RingAskOp, RingWaitOp, RingReadOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      OpBuilder builder(op);
      Emitter e(builder, op->getLoc(), getOperation());
      LogicalResult result = llvm::TypeSwitch<Operation *, LogicalResult>(op)
                                 .Case<RingAskOp, RingWaitOp, RingReadOp>([&](auto op) { return lower(e, op); });
      if (failed(result))
        return signalPassFailure();
      op->erase();
    }
  }
};
} // namespace
