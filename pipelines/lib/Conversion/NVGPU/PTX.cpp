//===- PTX.cpp - Single instructions of NVIDIA chips
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PTX.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::nv;

static LLVM::InlineAsmOp assembly(Emitter &e, StringRef text, StringRef constraints, ValueRange operands,
                                  Type result = {}) {
  return LLVM::InlineAsmOp::create(e.b, e.loc, result ? TypeRange(result) : TypeRange(), operands, text, constraints,
                                   /*has_side_effects=*/true, /*is_align_stack=*/false, LLVM::TailCallKind::None,
                                   LLVM::AsmDialectAttr::get(e.b.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr());
}

Value nv::pointerTo(Emitter &e, Value memref, Value offset) {
  auto type = cast<MemRefType>(memref.getType());
  auto space = cast<gpu::AddressSpaceAttr>(type.getMemorySpace()).getValue();
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(e.b, e.loc, memref);
  Value bits = arith::IndexCastOp::create(e.b, e.loc, e.b.getI64Type(), e.addIndex(address, offset));
  unsigned number = space == gpu::AddressSpace::Global ? 1 : 3;
  return LLVM::IntToPtrOp::create(e.b, e.loc, LLVM::LLVMPointerType::get(e.b.getContext(), number), bits);
}

Value nv::pointerToElement(Emitter &e, Value memref, ValueRange indices) {
  auto metadata = memref::ExtractStridedMetadataOp::create(e.b, e.loc, memref);
  Value element = metadata.getOffset();
  for (auto [index, stride] : llvm::zip_equal(indices, metadata.getStrides()))
    element = e.addIndex(element, arith::MulIOp::create(e.b, e.loc, index, stride));
  int64_t bytes = cast<MemRefType>(memref.getType()).getElementTypeBitWidth() / 8;
  return pointerTo(e, metadata.getBaseBuffer(), e.mulIndex(element, bytes));
}

Value nv::globalPointer(Emitter &e, Value address) {
  Value bits = arith::IndexCastOp::create(e.b, e.loc, e.b.getI64Type(), address);
  return LLVM::IntToPtrOp::create(e.b, e.loc, LLVM::LLVMPointerType::get(e.b.getContext(), 1), bits);
}

void nv::initBarrier(Emitter &e, Value pointer, int32_t count) {
  assembly(e, "mbarrier.init.shared::cta.b64 [$0], $1;", "l,r", {pointer, e.i32(count)});
}

void nv::fenceBarrierInit(Emitter &e) {
  assembly(e, "fence.mbarrier_init.release.cluster;", "~{memory}", {});
  fenceAsyncProxy(e);
}

void nv::invalidateBarrier(Emitter &e, Value pointer) {
  assembly(e, "mbarrier.inval.shared::cta.b64 [$0];", "l,~{memory}", {pointer});
}

void nv::fenceAsyncProxy(Emitter &e, bool isGlobal) {
  assembly(e, isGlobal ? "fence.proxy.async.global;" : "fence.proxy.async.shared::cta;", "~{memory}", {});
}

void nv::arrive(Emitter &e, Value pointer) {
  assembly(e, "mbarrier.arrive.shared::cta.b64 _, [$0];", "l,~{memory}", {pointer});
}

void nv::arriveExpecting(Emitter &e, Value pointer, Value bytes) {
  assembly(e, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "l,r,~{memory}", {pointer, bytes});
}

/// i1: what `instruction`, one of mbarrier's waits, says of the phase of parity `parity`.
static Value askForPhase(Emitter &e, StringRef instruction, Value pointer, Value parity) {
  std::string text = ("{ .reg .pred p; mbarrier." + instruction +
                      ".parity.shared::cta.b64 p, [$1], $2; "
                      "selp.u32 $0, 1, 0, p; }")
                         .str();
  Value done = assembly(e, text, "=r,l,r,~{memory}", {pointer, parity}, e.b.getI32Type()).getRes();
  return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, done, e.i32(0));
}

Value nv::tryWait(Emitter &e, Value pointer, Value parity) { return askForPhase(e, "try_wait", pointer, parity); }

Value nv::testWait(Emitter &e, Value pointer, Value parity) { return askForPhase(e, "test_wait", pointer, parity); }

void nv::copyBulk(Emitter &e, Value to, Value from, Value bytes, Value barrier) {
  assembly(e, "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1], $2, [$3];",
           "l,l,r,l,~{memory}", {to, from, bytes, barrier});
}

/// The elements of a struct, as the results of an instruction come.
static SmallVector<Value> elementsOf(Emitter &e, Value all) {
  SmallVector<Value> elements;
  for (size_t i = 0; i < cast<LLVM::LLVMStructType>(all.getType()).getBody().size(); ++i)
    elements.push_back(LLVM::ExtractValueOp::create(e.b, e.loc, all, i));
  return elements;
}

SmallVector<Value> nv::loadMatrices(Emitter &e, Value pointer) {
  Type i32 = e.b.getI32Type();
  auto type = LLVM::LLVMStructType::getLiteral(e.b.getContext(), {i32, i32, i32, i32});
  auto shape = NVVM::LdStMatrixShapeAttr::get(e.b.getContext(), 8, 8);
  Value all =
      NVVM::LdMatrixOp::create(e.b, e.loc, type, pointer, 4, NVVM::MMALayout::col, shape, NVVM::LdStMatrixEltType::B16);
  return elementsOf(e, all);
}

SmallVector<Value> nv::multiply(Emitter &e, ArrayRef<Value> lhs, ArrayRef<Value> rhs, ArrayRef<Value> sum) {
  Type f32 = e.b.getF32Type();
  auto type = LLVM::LLVMStructType::getLiteral(e.b.getContext(), {f32, f32, f32, f32});
  std::array<NVVM::MMATypes, 2> types = {NVVM::MMATypes::bf16, NVVM::MMATypes::bf16};
  std::array<NVVM::MMALayout, 2> layouts = {NVVM::MMALayout::row, NVVM::MMALayout::col};
  Value all = NVVM::MmaOp::create(e.b, e.loc, type, lhs, rhs, sum, ArrayRef<int64_t>{kColumns, kRows, kDepth},
                                  std::nullopt, std::nullopt, types, layouts);
  return elementsOf(e, all);
}

/// Bytes of a wgmma's right side from the first to the last 8 of its 16 contracted elements (8x8 matrices whose 8
/// columns' 16 bytes stand one behind the other), and to those of the next one.
static constexpr int64_t kNextElements = 128, kStepBytes = 2 * kNextElements;
/// A descriptor counts 16 bytes.
static constexpr int64_t kUnit = 16;

RightSide nv::describeRight(Emitter &e, Value memref, Value offset, Value steps) {
  Value address = e.addIndex(memref::ExtractAlignedPointerAsIndexOp::create(e.b, e.loc, memref), offset);
  Value bits = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), address);
  // Shared memory ends below 2^18.
  Value units = arith::ShRUIOp::create(e.b, e.loc, bits, e.i32(llvm::Log2_64(kUnit)));
  Value low = arith::OrIOp::create(e.b, e.loc, units, e.i32(kNextElements / kUnit << 16));
  Value nextColumns = e.i32(kDeep / kDepth * kStepBytes / kUnit);
  if (steps)
    nextColumns = uniform(e, arith::MulIOp::create(e.b, e.loc, steps, e.i32(kStepBytes / kUnit)));
  return {uniform(e, low), nextColumns};
}

SmallVector<Value> nv::multiplyByGroup(Emitter &e, ArrayRef<Value> lhs, RightSide right, ArrayRef<Value> sum) {
  constexpr int64_t kWidth = kChunksOfSlot * kColumns, kSums = kWidth / 2, kLeft = 4;
  int64_t steps = lhs.size() / kLeft, firstLeft = kSums + sum.size(), last = firstLeft + lhs.size();
  auto words = [](int64_t first, int64_t count) {
    std::string text = "{";
    for (int64_t i = 0; i < count; ++i)
      text += (i ? ", $" : "$") + std::to_string(first + i);
    return text + "}";
  };
  // One piece of assembly, so that nothing else comes between and touches what is on the way.
  std::string text = "{ .reg .pred p; .reg .b32 low; .reg .b64 at; mov.b32 low, $" + std::to_string(last) +
                     "; setp.ne.s32 p, 0, 0; wgmma.fence.sync.aligned; ";
  if (!sum.empty())
    text += "setp.eq.s32 p, 0, 0; ";
  for (int64_t i = 0; i < steps; ++i) {
    text += "mov.b64 at, {low, $" + std::to_string(last + 1) + "}; wgmma.mma_async.sync.aligned.m64n" +
            std::to_string(kWidth) + "k16.f32.bf16.bf16 " + words(0, kSums) + ", " +
            words(firstLeft + kLeft * i, kLeft) + ", at, p, 1, 1, 0; ";
    if (i + 1 < steps)
      text += "add.s32 low, low, " + std::to_string(kStepBytes / kUnit) + "; ";
    if (i == 0 && sum.empty() && steps > 1)
      text += "setp.eq.s32 p, 0, 0; ";
  }
  text += "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0; }";
  std::string constraints;
  auto add = [&](StringRef constraint) { constraints += (constraints.empty() ? "" : ",") + constraint.str(); };
  for (int64_t i = 0; i < kSums; ++i)
    add("=&f");
  for (size_t i = 0; i < sum.size(); ++i)
    add(std::to_string(i));
  for (size_t i = 0; i < lhs.size(); ++i)
    add("r");
  add("r");
  add("r");
  add("~{memory}");
  SmallVector<Value> operands(sum);
  llvm::append_range(operands, lhs);
  llvm::append_values(operands, right.low, right.high);
  SmallVector<Type> types(kSums, e.b.getF32Type());
  auto type = LLVM::LLVMStructType::getLiteral(e.b.getContext(), types);
  Value all = assembly(e, text, constraints, operands, type).getRes();
  return elementsOf(e, all);
}

static Value compute(Emitter &e, StringRef text, StringRef constraints, ValueRange operands, Type type = {}) {
  LLVM::InlineAsmOp op = assembly(e, text, constraints, operands, type ? type : e.b.getI32Type());
  op.setHasSideEffects(false);
  return op.getRes();
}

Value nv::packBf16(Emitter &e, Value low, Value high) {
  return compute(e, "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f", {high, low});
}

std::pair<Value, Value> nv::unpackBf16(Emitter &e, Value word) {
  auto asFloat = [&](Value bits) -> Value { return arith::BitcastOp::create(e.b, e.loc, e.b.getF32Type(), bits); };
  Value low = arith::ShLIOp::create(e.b, e.loc, word, e.i32(16));
  return {asFloat(low), asFloat(arith::AndIOp::create(e.b, e.loc, word, e.i32(0xffff0000)))};
}

Value nv::uniform(Emitter &e, Value word) {
  return NVVM::ShflOp::create(e.b, e.loc, e.b.getI32Type(), e.i32(-1), word, e.i32(0), e.i32(31), NVVM::ShflKind::idx,
                              UnitAttr());
}

Value nv::uniformAddress(Emitter &e, Value address) {
  constexpr StringRef text = "{ .reg .b32 low, high; mov.b64 {low, high}, $1; shfl.sync.idx.b32 low, low, 0, 31, -1; "
                             "shfl.sync.idx.b32 high, high, 0, 31, -1; mov.b64 $0, {low, high}; }";
  Value bits = arith::IndexCastOp::create(e.b, e.loc, e.b.getI64Type(), address);
  Value same = assembly(e, text, "=l,l", {bits}, e.b.getI64Type()).getRes();
  return arith::IndexCastOp::create(e.b, e.loc, e.b.getIndexType(), same);
}

Value nv::electLane(Emitter &e) { return NVVM::ElectSyncOp::create(e.b, e.loc, e.b.getI1Type(), Value()); }

Value nv::madeHere(Emitter &e, Value word) {
  return assembly(e, "mov.b32 $0, $1;", "=r,r", {word}, e.b.getI32Type()).getRes();
}

Value nv::indexMadeHere(Emitter &e, Value number) {
  Value word = madeHere(e, arith::IndexCastUIOp::create(e.b, e.loc, e.b.getI32Type(), number));
  return arith::IndexCastUIOp::create(e.b, e.loc, e.b.getIndexType(), word);
}

std::pair<Value, Value> nv::splitBf16(Emitter &e, Value low, Value high) {
  Value rounded = packBf16(e, low, high);
  auto [lowRounded, highRounded] = unpackBf16(e, rounded);
  return {rounded, packBf16(e, e.sub(low, lowRounded), e.sub(high, highRounded))};
}

Value nv::selectHalves(Emitter &e, Value x, Value y, bool upper) {
  return compute(e, upper ? "prmt.b32 $0, $1, $2, 0x7632;" : "prmt.b32 $0, $1, $2, 0x5410;", "=r,r,r", {x, y});
}

Value nv::divide(Emitter &e, Value x, Value y) {
  return compute(e, "div.full.ftz.f32 $0, $1, $2;", "=f,f,f", {x, y}, e.b.getF32Type());
}

Value nv::inverseRoot(Emitter &e, Value x) {
  return compute(e, "rsqrt.approx.ftz.f32 $0, $1;", "=f,f", {x}, e.b.getF32Type());
}

Value nv::powerOfTwo(Emitter &e, Value x) {
  return compute(e, "ex2.approx.ftz.f32 $0, $1;", "=f,f", {x}, e.b.getF32Type());
}

void nv::prefetchBulk(Emitter &e, Value pointer, Value bytes) {
  assembly(e, "cp.async.bulk.prefetch.L2.global [$0], $1;", "l,r", {pointer, bytes});
}

void nv::prefetch(Emitter &e, Value memref, ValueRange indices) {
  assembly(e, "prefetch.global.L2 [$0];", "l", {pointerToElement(e, memref, indices)});
}

void nv::takeRegisters(Emitter &e, int32_t count) {
  assembly(e, "setmaxnreg.inc.sync.aligned.u32 " + std::to_string(count) + ";", "", {});
}

void nv::giveRegisters(Emitter &e, int32_t count) {
  assembly(e, "setmaxnreg.dec.sync.aligned.u32 " + std::to_string(count) + ";", "", {});
}

void nv::syncWarp(Emitter &e) { NVVM::SyncWarpOp::create(e.b, e.loc, e.i32(-1)); }

void nv::barrier(Emitter &e, int32_t id, int32_t threads) {
  NVVM::BarrierOp::create(e.b, e.loc, TypeRange(), e.i32(id), e.i32(threads), NVVM::BarrierReductionAttr(), Value());
}
