//===- FlagExchanges.cpp - Results that carry the number of their step
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../KernelTables.h"

#include "fleet/Conversion/ManyRows.h"
#include "fleet/Conversion/NVGPUPasses.h"
#include "fleet/IR/Fleet.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/BitVector.h"

#include <map>

namespace mlir::fleet {
#define GEN_PASS_DEF_NVGPUFLAGEXCHANGES
#include "fleet/Conversion/NVGPUPasses.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;

/// Words that a worker may wait for at once: a thread holds its part in registers.
static constexpr int64_t kMostWords = 32 * gpugen::kThreads;
/// The arenas params and work among the arguments of @dispatch.
static constexpr unsigned kParams = 0, kWork = 2, kArenas = 5;
static constexpr int64_t kWord = 8;

static int64_t bytesOf(MemRefType type) {
  return type.getNumElements() * llvm::divideCeil(type.getElementTypeBitWidth(), 8);
}
/// Values of a word.
static int64_t inWord(MemRefType type) { return 32 / type.getElementTypeBitWidth(); }

namespace {
/// A view of an operand, the operand itself for one, that ops of a body read or write.
struct Touch {
  Value view;
  bool isWritten;
};

/// What the ops of a body do with an operand.
struct Accesses {
  bool isWritten = false;
  /// Set where all of them could take words.
  std::optional<SmallVector<Touch>> touches;
};

struct Buffer {
  int64_t arena, offset, bytes;
  bool overlaps(const Buffer &other) const {
    return arena == other.arena && offset < other.offset + other.bytes && other.offset < offset + bytes;
  }
  auto key() const { return std::tuple(arena, offset, bytes); }
};
/// What a device task has as operand number `operand` of its body, number `kind`.
struct Use {
  int64_t kind, operand;
  Buffer buffer;
};
struct Body {
  func::CallOp call;
  func::FuncOp function;
  SmallVector<Accesses> operands;
  llvm::BitVector flagged;
};
} // namespace

/// Whether `op` writes `value`, and whether it reads it first; both where its effects are not known.
static std::pair<bool, bool> effectsOn(Operation *op, Value value) {
  auto known = dyn_cast<MemoryEffectOpInterface>(op);
  if (!known)
    return {true, true};
  SmallVector<MemoryEffects::EffectInstance> effects;
  known.getEffects(effects);
  bool isWritten = false, isRead = false;
  for (auto &effect : effects)
    if (!effect.getValue() || effect.getValue() == value) {
      isWritten |= !isa<MemoryEffects::Read>(effect.getEffect());
      isRead |= isa<MemoryEffects::Read>(effect.getEffect());
    }
  return {isWritten, isRead};
}

static bool isEven(Value value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return *constant % 2 == 0;
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto loop = dyn_cast<scf::ForOp>(argument.getOwner()->getParentOp());
    return loop && loop.getInductionVar() == value && isEven(loop.getLowerBound()) && isEven(loop.getStep());
  }
  auto product = value.getDefiningOp<arith::MulIOp>();
  return product && (isEven(product.getLhs()) || isEven(product.getRhs()));
}
static bool isEven(OpFoldResult value) {
  std::optional<int64_t> constant = getConstantIntValue(value);
  return constant ? *constant % 2 == 0 : isEven(cast<Value>(value));
}

/// A part whose first and last value of each row begin and end a word.
static bool isOfWords(memref::SubViewOp part) {
  auto type = part.getSourceType();
  if (part.getType().getRank() != type.getRank() || !part.getType().hasStaticShape() ||
      !llvm::all_of(part.getStaticStrides(), [](int64_t stride) { return stride == 1; }))
    return false;
  return inWord(type) == 1 || (isEven(part.getMixedOffsets().back()) && part.getStaticSizes().back() % 2 == 0);
}

/// Whether a tile of the result can be computed elsewhere and be stored when it is whole.
static bool isStoredAtOnce(Value tile) {
  Operation *first = nullptr;
  for (Operation *user : tile.getUsers()) {
    if (user->getBlock() != tile.getParentBlock())
      return false;
    if (!first || user->isBeforeInBlock(first))
      first = user;
  }
  return tile.getDefiningOp() && effectsOn(first, tile) == std::pair(true, false);
}

/// Whether a view of values of which `each` fill a word can be one of words.
static bool isOfWords(Operation *view, int64_t each) {
  if (auto part = dyn_cast<memref::SubViewOp>(view))
    return isOfWords(part);
  return isa<memref::CollapseShapeOp>(view) || (isa<memref::ExpandShapeOp>(view) && each == 1);
}

static Accesses findAccesses(BlockArgument operand) {
  Accesses found;
  auto type = cast<MemRefType>(operand.getType());
  bool isTaken = type.hasStaticShape() && type.getRank() && type.getLayout().isIdentity() &&
                 (type.getElementType().isF32() || type.getElementType().isBF16()) &&
                 type.getShape().back() % inWord(type) == 0;
  SmallVector<Touch> touches;
  SmallVector<Value> open = {operand};
  while (!open.empty()) {
    Value view = open.pop_back_val();
    bool isTouched = false, isWritten = false;
    for (Operation *user : view.getUsers()) {
      if (isa<ViewLikeOpInterface>(user) && user->getNumResults() == 1) {
        isTaken = isTaken && isOfWords(user, inWord(type));
        open.push_back(user->getResult(0));
        continue;
      }
      isTouched = true;
      isWritten |= effectsOn(user, view).first;
    }
    found.isWritten |= isWritten;
    if (!isTouched)
      continue;
    auto viewType = cast<MemRefType>(view.getType());
    isTaken = isTaken && viewType.getNumElements() / inWord(type) <= kMostWords && (!isWritten || isStoredAtOnce(view));
    touches.push_back({view, isWritten});
  }
  // One place that writes all of it, or only such that read.
  isTaken &= !touches.empty() && (touches.size() == 1 || !found.isWritten);
  if (isTaken)
    found.touches = touches;
  return found;
}

namespace {
/// What a worker knows to be done when it comes to a cu task: cu tasks of this
/// step, and (the last bit) all of the step before.
using Known = llvm::BitVector;

struct NVGPUFlagExchanges : mlir::fleet::impl::NVGPUFlagExchangesBase<NVGPUFlagExchanges> {
  using NVGPUFlagExchangesBase::NVGPUFlagExchangesBase;

  void runOnOperation() override;

private:
  KernelTables tables;
  std::vector<Body> bodies;
  /// By device task: its operands in arenas, and the tasks it waits for.
  std::vector<std::vector<Use>> uses;
  std::vector<SmallVector<int64_t>> waits;
  /// By device task: the one it is not waiting for any more, or -1.
  std::vector<int32_t> dropped;
  /// Where flagged buffers stand.
  std::map<std::tuple<int64_t, int64_t, int64_t>, int64_t> places;

  bool readBodies(gpu::GPUModuleOp kernel);
  bool readTasks();
  bool chooseBuffers();
  bool dropWaits();
  void writeTables();
  void rewrite(Body &body);
};
} // namespace

bool NVGPUFlagExchanges::readBodies(gpu::GPUModuleOp kernel) {
  bool isKnown = true;
  tables.dispatch.walk([&](scf::IndexSwitchOp select) {
    for (Region &region : select.getCaseRegions()) {
      Body body;
      region.walk([&](func::CallOp op) { body.call = op; });
      body.function = body.call ? kernel.lookupSymbol<func::FuncOp>(body.call.getCallee()) : func::FuncOp();
      auto scratch = body.call && body.call.getNumOperands()
                         ? body.call.getOperands().back().getDefiningOp<memref::MemorySpaceCastOp>()
                         : memref::MemorySpaceCastOp();
      isKnown &= scratch && body.function && !body.function.isExternal();
      if (!isKnown)
        return;
      for (Value operand : body.call.getOperands()) {
        auto view = operand.getDefiningOp<memref::ViewOp>();
        auto arena = view ? dyn_cast<BlockArgument>(view.getSource()) : BlockArgument();
        if (!arena || arena.getOwner() != &tables.dispatch.getBody().front() || arena.getArgNumber() >= kArenas)
          break;
        body.operands.push_back(findAccesses(body.function.getArgument(body.operands.size())));
      }
      body.flagged.resize(body.operands.size());
      bodies.push_back(std::move(body));
    }
  });
  // A body that two cases call would be rewritten twice.
  llvm::DenseSet<Operation *> seen;
  for (Body &body : bodies)
    isKnown &= seen.insert(body.function).second;
  return isKnown;
}

bool NVGPUFlagExchanges::readTasks() {
  auto tasks = tables.valuesOf(tables.deviceTasks), waitTable = tables.valuesOf(tables.waits);
  int64_t width = tables.deviceTasks.getType().getDimSize(1);
  for (int64_t task = 0; task < tables.tasks; ++task) {
    int64_t kind = tasks[task * width];
    if (kind < 0 || kind >= int64_t(bodies.size()) || int64_t(bodies[kind].operands.size()) + 3 > width)
      return false;
    std::vector<Use> own;
    for (int64_t i = 0, n = bodies[kind].operands.size(); i < n; ++i) {
      auto view = bodies[kind].call.getOperand(i).getDefiningOp<memref::ViewOp>();
      int64_t arena = cast<BlockArgument>(view.getSource()).getArgNumber();
      own.push_back({kind, i, {arena, tasks[task * width + 3 + i] * kArenaAlignment, bytesOf(view.getType())}});
    }
    uses.push_back(std::move(own));
    waits.emplace_back();
    for (int64_t i = tasks[task * width + 1]; i < tasks[task * width + 2]; ++i)
      waits.back().push_back(waitTable[i] < 0 ? -1 - waitTable[i] : waitTable[i]);
  }
  return true;
}

/// Flags what can be: all tasks that have a body agree on each of its operands.
bool NVGPUFlagExchanges::chooseBuffers() {
  struct Users {
    SmallVector<std::pair<int64_t, const Use *>> all;
    bool isTaken = true;
  };
  std::map<std::tuple<int64_t, int64_t, int64_t>, Users> buffers;
  for (auto [task, own] : llvm::enumerate(uses))
    for (const Use &use : own)
      buffers[use.buffer.key()].all.push_back({task, &use});
  std::tuple<int64_t, int64_t, int64_t> before = {-1, 0, 0};
  int64_t end = 0;
  Users *last = nullptr;
  for (auto &[key, users] : buffers) {
    auto [arena, offset, bytes] = key;
    if (last && arena == std::get<0>(before) && offset < end)
      users.isTaken = last->isTaken = false;
    else
      end = 0;
    users.isTaken &= arena == kWork;
    int64_t writer = -1;
    for (auto [task, use] : users.all) {
      const Accesses &accesses = bodies[use->kind].operands[use->operand];
      users.isTaken &= accesses.touches.has_value();
      if (accesses.isWritten) {
        users.isTaken &= writer < 0 && task == users.all.front().first;
        writer = task;
      } else {
        users.isTaken &= writer >= 0 && task > writer;
      }
    }
    users.isTaken &= writer >= 0 && users.all.size() > 1;
    end = std::max(end, offset + bytes);
    last = &users;
    before = key;
  }
  // A buffer that is not taken takes the operands of bodies that touch it with it.
  for (Body &body : bodies)
    body.flagged.set();
  for (bool isChanged = true; isChanged;) {
    isChanged = false;
    for (auto &[key, users] : buffers)
      for (auto [task, use] : users.all) {
        auto flag = bodies[use->kind].flagged[use->operand];
        if (bool(flag) == users.isTaken)
          continue;
        isChanged = true;
        flag = false;
        users.isTaken = false;
      }
  }
  bool isAny = false;
  for (auto &[key, users] : buffers)
    if (users.isTaken) {
      places[key] = 0;
      isAny = true;
    }
  return isAny;
}

/// Drops waits for tasks whose results come flagged, where all else that a task needs to be
/// done before it is known to its workers without: by what they did before, or by other waits.
/// Where it is not, waits are put in. False where no order can be shown.
bool NVGPUFlagExchanges::dropWaits() {
  auto cuTasks = tables.valuesOf(tables.cuTasks), queues = tables.valuesOf(tables.queues);
  int64_t count = tables.cuTasks.getType().getDimSize(0);
  std::vector<Known> parts(tables.tasks, Known(count + 1)), released = parts, knows(tables.workers, Known(count + 1));
  std::vector<SmallVector<std::pair<int64_t, int64_t>>> entries(tables.tasks);
  for (int64_t worker = 0; worker < tables.workers; ++worker)
    for (int64_t i = queues[worker], before = -1; i < queues[worker + 1]; ++i) {
      int64_t task = cuTasks[3 * i];
      if (task < before)
        return false;
      before = task;
      entries[task].push_back({worker, i});
      parts[task].set(i);
    }
  dropped.assign(tables.tasks, -1);
  for (int64_t task = 0; task < tables.tasks; ++task) {
    bool isRoot = waits[task].empty();
    // What must be done: whoever touched the same bytes, one of them writing.
    SmallVector<int64_t> needed;
    for (int64_t other = 0; other < task; ++other)
      if (llvm::any_of(uses[task], [&](const Use &use) {
            return use.buffer.arena != kParams && !places.count(use.buffer.key()) &&
                   llvm::any_of(uses[other], [&](const Use &earlier) {
                     return use.buffer.overlaps(earlier.buffer) &&
                            (bodies[use.kind].operands[use.operand].isWritten ||
                             bodies[earlier.kind].operands[earlier.operand].isWritten);
                   });
          }))
        needed.push_back(other);
    auto isFlagged = [&](int64_t other) {
      return llvm::any_of(uses[task], [&](const Use &use) {
        return places.count(use.buffer.key()) && llvm::any_of(uses[other], [&](const Use &earlier) {
                 return earlier.buffer.key() == use.buffer.key() &&
                        bodies[earlier.kind].operands[earlier.operand].isWritten;
               });
      });
    };
    if (!isRoot && isFlagged(waits[task].back())) {
      dropped[task] = waits[task].back();
      waits[task].pop_back();
    }
    auto learned = [&] {
      Known byWaits(count + 1);
      for (int64_t other : waits[task])
        byWaits |= released[other];
      if (isRoot)
        byWaits.set(count);
      return byWaits;
    };
    // What all its workers know, with the waits at hand; the first thing that one of them does not.
    auto findMissing = [&]() -> std::optional<int64_t> {
      Known byWaits = learned();
      for (auto [worker, entry] : entries[task]) {
        Known all = knows[worker];
        all |= byWaits;
        for (int64_t other : llvm::reverse(needed))
          if (Known(parts[other]).reset(all).any())
            return other;
        if (!all.test(count))
          return -1;
      }
      return std::nullopt;
    };
    while (std::optional<int64_t> missing = findMissing()) {
      if (*missing < 0 || llvm::is_contained(waits[task], *missing)) {
        if (dropped[task] < 0)
          return false;
        missing = dropped[task];
      }
      if (*missing == dropped[task])
        dropped[task] = -1;
      waits[task].push_back(*missing);
    }
    Known byWaits = learned();
    for (auto [worker, entry] : entries[task]) {
      knows[worker] |= byWaits;
      knows[worker].set(entry);
      released[task] |= knows[worker];
    }
  }
  int64_t left = 0;
  for (auto &own : waits)
    left += own.size();
  // A launch of several steps begins the next when the last task is done.
  return released.back().all() && left <= tables.waits.getType().getDimSize(0);
}

void NVGPUFlagExchanges::writeTables() {
  ModuleOp module = getOperation();
  Builder b(&getContext());
  auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
  auto arenas = manifest.getAs<DictionaryAttr>("arenas");
  int64_t end = llvm::alignTo(arenas.getAs<IntegerAttr>("work").getInt(), kArenaAlignment);
  // For who looks into the arena: where what stood at an offset now has its words.
  SmallVector<Attribute> moved;
  for (auto &[key, place] : places) {
    place = end;
    moved.push_back(b.getI64ArrayAttr({std::get<1>(key), place}));
    end = llvm::alignTo(end + std::get<2>(key) / 4 * kWord, kArenaAlignment);
  }
  NamedAttrList sizes(arenas), list(manifest);
  sizes.set("work", b.getI64IntegerAttr(end));
  list.set("arenas", sizes.getDictionary(&getContext()));
  list.set("flagged", b.getArrayAttr(moved));
  module->setAttr("fleet.manifest", list.getDictionary(&getContext()));

  auto set = [&](memref::GlobalOp table, ArrayRef<int32_t> values) {
    auto type = RankedTensorType::get(table.getType().getShape(), b.getI32Type());
    table.setInitialValueAttr(DenseElementsAttr::get(type, values));
  };
  SmallVector<int32_t> tasks(tables.valuesOf(tables.deviceTasks)), arrivals(tables.valuesOf(tables.arrivals)), all;
  int64_t width = tables.deviceTasks.getType().getDimSize(1);
  llvm::BitVector isAwaited(tables.tasks);
  isAwaited.set(tables.tasks - 1);
  for (int64_t task = 0; task < tables.tasks; ++task) {
    tasks[task * width + 1] = all.size();
    for (int64_t other : waits[task]) {
      all.push_back(other);
      isAwaited.set(other);
    }
    tasks[task * width + 2] = all.size();
    for (const Use &use : uses[task])
      if (auto place = places.find(use.buffer.key()); place != places.end())
        tasks[task * width + 3 + use.operand] = place->second / kArenaAlignment;
  }
  for (int64_t task = 0; task < tables.tasks; ++task)
    if (!isAwaited.test(task))
      arrivals[task] = 0;
  // Entries that no task points to keep the table's size.
  if (int64_t size = tables.waits.getType().getDimSize(0); int64_t(all.size()) < size)
    all.resize(size);
  set(tables.deviceTasks, tasks);
  set(tables.waits, all);
  set(tables.arrivals, arrivals);
  OpBuilder builder(tables.arrivals);
  auto type = MemRefType::get({tables.tasks}, b.getI32Type(), MemRefLayoutAttrInterface(),
                              tables.arrivals.getType().getMemorySpace());
  auto value =
      DenseElementsAttr::get(RankedTensorType::get({tables.tasks}, b.getI32Type()), ArrayRef<int32_t>(dropped));
  memref::GlobalOp::create(builder, tables.arrivals.getLoc(), kFlaggedTable, b.getStringAttr("private"), type, value,
                           /*constant=*/true, IntegerAttr());
}

/// The words, among those of `operand`, of a view of its values, of which `each` fill a word; next to it.
static Value wordsOf(OpBuilder &b, Value view, BlockArgument operand, int64_t each) {
  Operation *op = view.getDefiningOp();
  if (!op)
    return operand;
  Value source = wordsOf(b, cast<ViewLikeOpInterface>(op).getViewSource(), operand, each);
  Location loc = op->getLoc();
  b.setInsertionPointAfter(op);
  if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op))
    return memref::CollapseShapeOp::create(b, loc, source, collapse.getReassociationIndices());
  if (auto expand = dyn_cast<memref::ExpandShapeOp>(op)) {
    auto type = memref::ExpandShapeOp::computeExpandedType(
        cast<MemRefType>(source.getType()), expand.getType().getShape(), expand.getReassociationIndices());
    return memref::ExpandShapeOp::create(b, loc, *type, source, expand.getReassociationIndices(),
                                         expand.getMixedOutputShape());
  }
  auto part = cast<memref::SubViewOp>(op);
  SmallVector<OpFoldResult> offsets = part.getMixedOffsets(), sizes = part.getMixedSizes();
  sizes.back() = b.getIndexAttr(part.getStaticSizes().back() / each);
  if (std::optional<int64_t> at = getConstantIntValue(offsets.back()))
    offsets.back() = b.getIndexAttr(*at / each);
  else if (each > 1)
    offsets.back() =
        arith::DivUIOp::create(b, loc, cast<Value>(offsets.back()), arith::ConstantIndexOp::create(b, loc, each))
            .getResult();
  return memref::SubViewOp::create(b, loc, source, offsets, sizes, part.getMixedStrides());
}

/// `fleet.receive` in front of what reads a flagged operand, `fleet.publish` behind what writes one.
void NVGPUFlagExchanges::rewrite(Body &body) {
  Block &entry = body.function.getBody().front();
  BlockArgument scratch = entry.getArguments().back();
  auto scratchType = cast<MemRefType>(scratch.getType());
  int64_t bytes = scratchType.getNumElements();
  OpBuilder b(&getContext());
  Location loc = body.function.getLoc();
  auto temporary = [&](Type like) -> Value {
    auto type = cast<MemRefType>(like);
    type = MemRefType::get(type.getShape(), type.getElementType(), MemRefLayoutAttrInterface(),
                           scratchType.getMemorySpace());
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&entry);
    int64_t at = llvm::alignTo(bytes, kArenaAlignment);
    bytes = at + bytesOf(type);
    return memref::ViewOp::create(b, loc, type, scratch, arith::ConstantIndexOp::create(b, loc, at), ValueRange());
  };
  for (unsigned i : body.flagged.set_bits()) {
    BlockArgument operand = entry.getArgument(i);
    auto type = cast<MemRefType>(operand.getType());
    int64_t each = inWord(type);
    SmallVector<int64_t> shape(type.getShape());
    shape.back() /= each;
    auto words = MemRefType::get(shape, b.getI64Type(), MemRefLayoutAttrInterface(), type.getMemorySpace());
    operand.setType(words);
    body.call.getOperand(i).getDefiningOp<memref::ViewOp>().getResult().setType(words);
    for (const Touch &touch : *body.operands[i].touches) {
      Value view = touch.view;
      Operation *def = view.getDefiningOp();
      auto isView = [](Operation *user) { return isa<ViewLikeOpInterface>(user); };
      Operation *first = nullptr, *last = nullptr;
      for (Operation *user : view.getUsers()) {
        Operation *op = view.getParentBlock()->findAncestorOpInBlock(*user);
        if (isView(user))
          continue;
        first = !first || op->isBeforeInBlock(first) ? op : first;
        last = !last || last->isBeforeInBlock(op) ? op : last;
      }
      Value tile = def ? wordsOf(b, view, operand, each) : Value(operand);
      if (touch.isWritten) {
        Value own = temporary(view.getType());
        view.replaceAllUsesWith(own);
        b.setInsertionPointAfter(last);
        PublishOp::create(b, loc, own, tile);
        continue;
      }
      // A norm is computed where its rows have come to.
      auto norm = dyn_cast<RmsNormOp>(first);
      Value out = norm && view.hasOneUse() ? norm.getOutputs()[0] : Value();
      auto outType = out ? cast<MemRefType>(out.getType()) : MemRefType();
      auto viewType = def ? cast<MemRefType>(view.getType()) : type;
      bool isThere = out && outType.getLayout().isIdentity() &&
                     outType.getMemorySpace() == scratchType.getMemorySpace() &&
                     outType.getElementType() == type.getElementType() && outType.getShape() == viewType.getShape() &&
                     llvm::all_of(out.getUsers(), [&](Operation *user) {
                       Operation *op = first->getBlock()->findAncestorOpInBlock(*user);
                       return op && (op == first || first->isBeforeInBlock(op));
                     });
      Value own = isThere ? out : temporary(viewType);
      if (def && !isThere)
        b.setInsertionPointAfterValue(tile);
      else
        b.setInsertionPoint(first);
      auto receive = ReceiveOp::create(b, loc, tile, own);
      // All threads meet at the end of a contraction: only those that wait are late for it.
      for (Operation *op = receive->getNextNode(); op && op != first; op = op->getNextNode())
        if (isa<linalg::MatmulOp>(op))
          receive->setAttr(kUnsynced, b.getUnitAttr());
      view.replaceUsesWithIf(own, [&](OpOperand &use) { return use.getOwner() != receive && !isView(use.getOwner()); });
    }
    // The views of values that nobody reads any more.
    for (bool isChanged = true; isChanged;) {
      isChanged = false;
      body.function.walk([&](Operation *op) {
        if (isa<memref::SubViewOp, memref::CollapseShapeOp, memref::ExpandShapeOp>(op) && op->use_empty()) {
          op->erase();
          isChanged = true;
        }
      });
    }
  }
  bytes = llvm::alignTo(bytes, kArenaAlignment);
  auto grown = MemRefType::get({bytes}, b.getI8Type(), MemRefLayoutAttrInterface(), scratchType.getMemorySpace());
  scratch.setType(grown);
  auto cast = body.call.getOperands().back().getDefiningOp<memref::MemorySpaceCastOp>();
  auto from = mlir::cast<MemRefType>(cast.getSource().getType());
  cast.getSource().setType(MemRefType::get({bytes}, b.getI8Type(), MemRefLayoutAttrInterface(), from.getMemorySpace()));
  cast.getResult().setType(grown);
  body.function->setAttr("fleet.scratch", b.getI64IntegerAttr(bytes));
  body.function.setFunctionType(b.getFunctionType(entry.getArgumentTypes(), {}));
  auto kernel = body.function->getParentOfType<gpu::GPUModuleOp>();
  if (auto stride = kernel->getAttrOfType<IntegerAttr>("fleet.scratch_stride"); stride && stride.getInt() < bytes)
    kernel->setAttr("fleet.scratch_stride", b.getI64IntegerAttr(bytes));
}

void NVGPUFlagExchanges::runOnOperation() {
  ModuleOp module = getOperation();
  auto kernels = llvm::to_vector(module.getOps<gpu::GPUModuleOp>());
  auto manifest = module->getAttrOfType<DictionaryAttr>("fleet.manifest");
  auto tokens = manifest ? manifest.getAs<IntegerAttr>("tokens") : IntegerAttr();
  auto arenas = manifest ? manifest.getAs<DictionaryAttr>("arenas") : DictionaryAttr();
  if (kernels.size() != 1 || !tokens || tokens.getInt() > mostRows || !arenas || !arenas.getAs<IntegerAttr>("work"))
    return;
  bool isLong = kernels.front()
                    .walk([&](AttentionPartialOp op) {
                      int64_t context = cast<ShapedType>(op.getInputs()[5].getType()).getDimSize(2);
                      bool isMore = static_cast<int64_t>(llvm::divideCeil(context, op.getParts())) > mostPositions;
                      return isMore ? WalkResult::interrupt() : WalkResult::advance();
                    })
                    .wasInterrupted();
  if (isLong)
    return;
  if (failed(readTables(kernels.front(), tables)))
    return signalPassFailure();
  if (tables.chiplets != 1 || !readBodies(kernels.front()) || !readTasks() || !chooseBuffers() || !dropWaits())
    return;
  writeTables();
  for (Body &body : bodies)
    if (body.flagged.any())
      rewrite(body);
}
