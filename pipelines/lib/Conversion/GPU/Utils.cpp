//===- Utils.cpp - Building blocks of a workgroup's code --------*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Utils.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::gpugen;

/// Buffers stand at multiples of this in their arena, and arenas in memory.
static constexpr int64_t kBufferAlignment = 64;

/// The greatest power of two, at most kBufferAlignment, that divides `value`.
static int64_t powerIn(int64_t value) {
  return value ? std::min(value & -value, kBufferAlignment) : kBufferAlignment;
}

/// A power of two that divides an index.
static int64_t powerIn(Value value, int depth = 0) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return powerIn(*constant);
  if (depth == 8)
    return 1;
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto loop = dyn_cast<scf::ForOp>(argument.getOwner()->getParentOp());
    if (!loop || loop.getInductionVar() != value)
      return 1;
    return std::min(powerIn(loop.getLowerBound(), depth + 1), powerIn(loop.getStep(), depth + 1));
  }
  Operation *op = value.getDefiningOp();
  if (isa<arith::MulIOp>(op))
    return std::min(kBufferAlignment, powerIn(op->getOperand(0), depth + 1) *
                                          powerIn(op->getOperand(1), depth + 1));
  if (isa<arith::AddIOp, arith::SubIOp>(op))
    return std::min(powerIn(op->getOperand(0), depth + 1), powerIn(op->getOperand(1), depth + 1));
  return 1;
}

static int64_t powerIn(OpFoldResult value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return powerIn(*constant);
  return powerIn(cast<Value>(value));
}

int64_t mlir::fleet::gpugen::powerOfTwoIn(Value index) { return powerIn(index); }

int64_t mlir::fleet::gpugen::alignmentOf(Value memref) {
  Operation *op = memref.getDefiningOp();
  if (!op || isa<memref::ViewOp>(op))
    return kBufferAlignment;
  if (isa<memref::ExpandShapeOp, memref::CollapseShapeOp, memref::CastOp>(op))
    return alignmentOf(op->getOperand(0));
  auto type = cast<MemRefType>(memref.getType());
  int64_t bytes = std::max<int64_t>(1, type.getElementTypeBitWidth() / 8);
  auto part = dyn_cast<memref::SubViewOp>(op);
  SmallVector<int64_t> strides;
  int64_t offset;
  if (!part || failed(part.getSourceType().getStridesAndOffset(strides, offset)))
    return bytes;
  int64_t alignment = alignmentOf(part.getSource());
  for (auto [at, stride] : llvm::zip_equal(part.getMixedOffsets(), strides))
    alignment = std::min(alignment, powerIn(at) * (ShapedType::isDynamic(stride) ? 1 : powerIn(stride)) * bytes);
  return alignment;
}

int64_t mlir::fleet::gpugen::alignmentAt(Value memref, ValueRange indices) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t bytes = std::max<int64_t>(1, type.getElementTypeBitWidth() / 8);
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(type.getStridesAndOffset(strides, offset)))
    return bytes;
  int64_t alignment = alignmentOf(memref);
  for (auto [at, stride] : llvm::zip_equal(indices, strides))
    alignment = std::min(alignment, powerIn(at) * (ShapedType::isDynamic(stride) ? 1 : powerIn(stride)) * bytes);
  return alignment;
}

Value Emitter::loadRaw(Value memref, ValueRange indices, int64_t lanes) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  return vector::LoadOp::create(b, loc, VectorType::get({lanes}, element), memref, indices,
                                /*nontemporal=*/false, llvm::Align(alignmentAt(memref, indices)));
}

void Emitter::storeRaw(Value vector, Value memref, ValueRange indices) {
  vector::StoreOp::create(b, loc, vector, memref, indices, /*nontemporal=*/false,
                          llvm::Align(alignmentAt(memref, indices)));
}

void Emitter::storeVector(Value vector, Value memref, ValueRange indices) {
  storeRaw(round(vector, cast<MemRefType>(memref.getType()).getElementType()), memref, indices);
}

Workgroup mlir::fleet::gpugen::getWorkgroup(gpu::GPUModuleOp module) {
  auto number = [&](StringRef name, int64_t otherwise) {
    auto attr = module->getAttrOfType<IntegerAttr>(name);
    return attr ? attr.getInt() : otherwise;
  };
  return {number("fleet.threads", kThreads), number("fleet.lanes", 64)};
}

void mlir::fleet::gpugen::setWorkgroup(gpu::GPUModuleOp module, Workgroup workgroup) {
  Builder b(module.getContext());
  module->setAttr("fleet.threads", b.getI64IntegerAttr(workgroup.threads));
  module->setAttr("fleet.lanes", b.getI64IntegerAttr(workgroup.lanes));
}

int64_t mlir::fleet::gpugen::elementsOf16Bytes(Type element) {
  return 128 / std::max<int64_t>(8, element.getIntOrFloatBitWidth());
}

MemRefType mlir::fleet::gpugen::inWorkgroupMemory(ArrayRef<int64_t> shape, Type element) {
  auto space = gpu::AddressSpaceAttr::get(element.getContext(), gpu::AddressSpace::Workgroup);
  return MemRefType::get(shape, element, MemRefLayoutAttrInterface(), space);
}

bool mlir::fleet::gpugen::isInWorkgroupMemory(MemRefType type) {
  auto space = dyn_cast_or_null<gpu::AddressSpaceAttr>(type.getMemorySpace());
  return space && space.getValue() == gpu::AddressSpace::Workgroup;
}

UsedLds mlir::fleet::gpugen::countUsedLds(gpu::GPUModuleOp module, int64_t alignment) {
  UsedLds used;
  for (auto global : module.getOps<memref::GlobalOp>()) {
    MemRefType type = global.getType();
    if (!isInWorkgroupMemory(type))
      continue;
    int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
    if (global.getSymName() == kBodyBuffer)
      used.body = bytes;
    else
      used.others += llvm::alignTo(bytes, alignment);
  }
  return used;
}

Value Emitter::lane() {
  return arith::RemUIOp::create(b, loc, thread(), index(workgroup.lanes));
}

Value Emitter::wave() {
  Value wave = arith::DivUIOp::create(b, loc, thread(), index(workgroup.lanes));
  wave = arith::IndexCastUIOp::create(b, loc, b.getI32Type(), wave);
  wave = gpu::SubgroupBroadcastOp::create(b, loc, wave.getType(), wave, Value(),
                                          gpu::BroadcastType::first_active_lane);
  return arith::IndexCastUIOp::create(b, loc, b.getIndexType(), wave);
}

/// x - first, modulo count.
static Value rotate(Emitter &e, Value x, int64_t first, int64_t count) {
  if (!first)
    return x;
  return arith::RemUIOp::create(e.b, e.loc, e.addIndex(x, count - first), e.index(count));
}

Value Emitter::threadInTurn() {
  return rotate(*this, thread(), firstWave * workgroup.lanes, workgroup.threads);
}

Value Emitter::waveInTurn() { return rotate(*this, wave(), firstWave, workgroup.waves()); }

void Emitter::forThreads(int64_t count, function_ref<void(Value)> body) {
  Value first = threadInTurn();
  auto once = [&](Value i) {
    body(i);
    return SmallVector<Value>();
  };
  if (count == workgroup.threads)
    return body(first);
  if (count < workgroup.threads) {
    Value takesPart =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, first, index(count));
    return ifThen(takesPart, [&] { body(first); });
  }
  loop(first, index(count), workgroup.threads, {}, [&](Value i, ValueRange) { return once(i); });
}

void Emitter::forWaves(int64_t count, function_ref<void(Value)> body) {
  Value first = waveInTurn();
  if (count == workgroup.waves())
    return body(first);
  if (count < workgroup.waves()) {
    Value takesPart =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, first, index(count));
    return ifThen(takesPart, [&] { body(first); });
  }
  loop(first, index(count), workgroup.waves(), {}, [&](Value i, ValueRange) {
    body(i);
    return SmallVector<Value>();
  });
}

void Emitter::forOneThread(function_ref<void()> body) {
  ifThen(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, thread(), index(0)), body);
}

SmallVector<Value> Emitter::delinearize(Value i, ArrayRef<int64_t> shape) {
  SmallVector<Value> indices(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    if (d == 0) {
      indices[d] = i;
    } else if (shape[d] == 1) {
      indices[d] = index(0);
    } else {
      indices[d] = arith::RemUIOp::create(b, loc, i, index(shape[d]));
      i = arith::DivUIOp::create(b, loc, i, index(shape[d]));
    }
  }
  return indices;
}

Value Emitter::shuffleXor(Value value, int64_t mask) {
  return gpu::ShuffleOp::create(b, loc, value, i32(mask), i32(workgroup.lanes),
                                gpu::ShuffleMode::XOR)
      .getShuffleResult();
}

SmallVector<Value> Emitter::combineLanes(SmallVector<Value> values, int64_t from, int64_t to,
                                         Combine combine) {
  for (int64_t mask = from; mask < to; mask *= 2) {
    SmallVector<Value> others;
    for (Value value : values)
      others.push_back(shuffleXor(value, mask));
    values = combine(values, others);
  }
  return values;
}

Value Emitter::sumLanes(Value value, int64_t from, int64_t to) {
  return combineLanes({value}, from, to, [&](ArrayRef<Value> x, ArrayRef<Value> y) {
    return SmallVector<Value>{add(x[0], y[0])};
  })[0];
}

SmallVector<Value> Emitter::combineThreads(SmallVector<Value> values, Combine combine) {
  values = combineLanes(values, 1, workgroup.lanes, combine);
  if (workgroup.waves() == 1)
    return values;
  Value first = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, lane(), index(0));
  SmallVector<Value> parts;
  for (auto [i, value] : llvm::enumerate(values)) {
    std::string name = "exchange" + std::to_string(i);
    parts.push_back(shared(name, inWorkgroupMemory({workgroup.waves()}, value.getType())));
  }
  Value own = wave();
  ifThen(first, [&] {
    for (auto [value, part] : llvm::zip_equal(values, parts))
      memref::StoreOp::create(b, loc, value, part, own);
  });
  barrier();
  SmallVector<Value> all;
  for (int64_t w = 0; w < workgroup.waves(); ++w) {
    SmallVector<Value> next;
    for (Value part : parts)
      next.push_back(load(part, index(w)));
    all = w ? combine(all, next) : next;
  }
  barrier();
  return all;
}

Value Emitter::shared(StringRef name, MemRefType type) {
  int64_t bytes =
      type.getNumElements() * llvm::divideCeil(type.getElementTypeBitWidth(), int64_t(8));
  auto global = module.lookupSymbol<memref::GlobalOp>(name);
  if (!global) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    auto wanted = inWorkgroupMemory({bytes}, b.getI8Type());
    global = memref::GlobalOp::create(b, loc, name, b.getStringAttr("private"), wanted,
                                      b.getUnitAttr(), /*constant=*/false,
                                      b.getI64IntegerAttr(16));
  } else if (global.getType().getDimSize(0) < bytes) {
    auto wanted = inWorkgroupMemory({bytes}, b.getI8Type());
    auto uses = SymbolTable::getSymbolUses(global, module);
    for (SymbolTable::SymbolUse use : *uses)
      cast<memref::GetGlobalOp>(use.getUser()).getResult().setType(wanted);
    global.setType(wanted);
  }
  Value raw = memref::GetGlobalOp::create(b, loc, global.getType(), name);
  return cpu::viewAt(*this, raw, 0, type);
}

void mlir::fleet::gpugen::pollForEvent(Emitter &e, WaitOp op, const Poll &poll) {
  auto compare = [&](arith::CmpIPredicate how, Value x, Value y) -> Value {
    return arith::CmpIOp::create(e.b, e.loc, how, x, y);
  };
  auto truth = [&](bool value) -> Value { return arith::ConstantIntOp::create(e.b, e.loc, value, 1); };
  auto expired = op->getAttrOfType<FlatSymbolRefAttr>("fleet.expired");
  auto step = op->getParentOfType<gpu::GPUFuncOp>();
  Value flags, gaveUp = truth(false);
  if (expired) {
    flags = e.shared(expired.getValue(), inWorkgroupMemory({2}, e.b.getI32Type()));
    gaveUp = compare(arith::CmpIPredicate::ne, e.load(flags, e.index(0)), e.i32(0));
  }
  Value budget = e.i32(std::min<int64_t>(poll.budget, INT32_MAX));
  // Carried: polls, whether to give up.
  auto loop = scf::WhileOp::create(
      e.b, e.loc, TypeRange{e.b.getI32Type(), e.b.getI1Type()}, ValueRange{e.i32(0), gaveUp},
      [&](OpBuilder &, Location, ValueRange carried) {
        Value missing = arith::XOrIOp::create(e.b, e.loc, poll.isOver(), truth(true));
        Value goesOn = arith::XOrIOp::create(e.b, e.loc, carried[1], truth(true));
        scf::ConditionOp::create(e.b, e.loc, arith::AndIOp::create(e.b, e.loc, missing, goesOn), carried);
      },
      [&](OpBuilder &, Location, ValueRange carried) {
        poll.rest();
        Value polls = arith::AddIOp::create(e.b, e.loc, carried[0], e.i32(1));
        Value giveUp = truth(false);
        if (expired) {
          Value tired = compare(arith::CmpIPredicate::uge, polls, budget);
          Value rest = arith::AndIOp::create(e.b, e.loc, polls, e.i32(poll.look - 1));
          auto look = scf::IfOp::create(
              e.b, e.loc, compare(arith::CmpIPredicate::eq, rest, e.i32(0)),
              [&](OpBuilder &, Location) {
                int64_t at = e.module->getAttrOfType<IntegerAttr>("fleet.status").getInt();
                Value others = poll.loadStatus(step.getArgument(4), at);
                scf::YieldOp::create(e.b, e.loc, compare(arith::CmpIPredicate::ne, others, e.i32(0)));
              },
              [&](OpBuilder &, Location) { scf::YieldOp::create(e.b, e.loc, truth(false)); });
          giveUp = arith::OrIOp::create(e.b, e.loc, tired, look.getResult(0));
        }
        scf::YieldOp::create(e.b, e.loc, ValueRange{polls, giveUp});
      });
  if (!expired)
    return;
  e.ifThen(loop.getResult(1), [&] {
    memref::StoreOp::create(e.b, e.loc, e.i32(1), flags, e.index(0));
    Value index = arith::IndexCastOp::create(e.b, e.loc, e.b.getI32Type(), op.getIndex());
    memref::StoreOp::create(e.b, e.loc, index, flags, e.index(1));
  });
}

/// Whether an entry of the manifest's params says how a weight is packed.
static bool isParam(Attribute entry) {
  auto entries = dyn_cast<DictionaryAttr>(entry);
  auto shape = entries ? entries.getAs<ArrayAttr>("shape") : ArrayAttr();
  auto pack = entries ? entries.getAs<IntegerAttr>("pack") : IntegerAttr();
  return shape && llvm::all_of(shape, llvm::IsaPred<IntegerAttr>) && pack && (!pack.getInt() || shape.size() >= 2) &&
         entries.getAs<StringAttr>("dtype");
}

LogicalResult gpugen::setOnPacked(ModuleOp module, StringRef name, Attribute value,
                                  function_ref<bool(Type, int64_t, int64_t)> isMeant) {
  auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
  auto known = manifest ? manifest.getAs<ArrayAttr>("params") : ArrayAttr();
  if (!known || !llvm::all_of(known, isParam))
    return module.emitError("expected params with pack, shape and dtype in the fleet.manifest, found ")
           << (known ? "one without" : "none");
  Builder b(module.getContext());
  SmallVector<Attribute> params;
  for (auto entry : known.getAsRange<DictionaryAttr>()) {
    int64_t pack = entry.getAs<IntegerAttr>("pack").getInt();
    Type element = entry.getAs<StringAttr>("dtype").getValue() == "bf16" ? Type(b.getBF16Type()) : b.getF32Type();
    NamedAttrList list(entry);
    if (pack && isMeant(element, cast<IntegerAttr>(entry.getAs<ArrayAttr>("shape")[1]).getInt(), pack))
      list.set(name, value);
    params.push_back(list.getDictionary(module.getContext()));
  }
  NamedAttrList list(manifest);
  list.set("params", b.getArrayAttr(params));
  module->setAttr("fleet.manifest", list.getDictionary(module.getContext()));
  return success();
}
