// Operations in flight: s_waitcnt, and the use of a register too early.
//
// The counters of gfx9: vmcnt counts vector loads, stores and atomics, which
// complete in order; lgkmcnt counts LDS operations, which complete in order,
// and scalar loads, which do not, so that only lgkmcnt(0) proves one complete.
#include "memory.h"
#include "table.h"

static inline bool overlaps(const Wave *w, u32 first, u32 count) {
  for (u32 r = first; r < first + count; ++r)
    if (w->pending[r / 64] >> (r % 64) & 1)
      return true;
  return false;
}
static inline void mark(Wave *w, u32 first, u32 count) {
  for (u32 r = first; r < first + count; ++r)
    w->pending[r / 64] |= 1ull << (r % 64);
}
static void remark(Wave *w) {
  memset(w->pending, 0, sizeof(w->pending));
  for (int k = 0; k < w->npend; ++k)
    mark(w, w->pend[k].first, w->pend[k].count);
}
static bool hazard_at(Wave *w, const Inst *i, u32 reg) {
  for (int k = w->npend - 1; k >= 0; --k) {
    Pend *p = &w->pend[k];
    if (reg >= p->first && reg < (u32)p->first + p->count) {
      raise_error(w, i, ERROR_HAZARD, 0, 0, -1, reg);
      w->machine->error.detail2 = p->pc;
      return true;
    }
  }
  return false;
}
bool find_hazard(Wave *w, const Inst *i) {
  for (int k = 0; k < i->nuse; ++k)
    for (u32 r = i->use[k][0]; r < (u32)i->use[k][0] + i->use[k][1]; ++r)
      if (unlikely(w->pending[r / 64] >> (r % 64) & 1) && hazard_at(w, i, r))
        return true;
  return false;
}

// Completes an operation: makes its access if it was put off.
static bool finish(Wave *w, Pend *p) {
  bool ok = true;
  switch (p->kind) {
  case PEND_LOAD:
    if (p->deferred)
      ok = perform_load(w, p);
    if (ok && p->inst->flags & F_LDS)
      deliver_lds(w, p);
    break;
  case PEND_STORE:
    drain_cu(w->machine, w->cu, p->sequence);
    break;
  case PEND_WRITEBACK:
    if (p->deferred)
      perform_writeback(w, p);
    break;
  case PEND_DS:
    if (p->deferred)
      ok = perform_ds(w, p);
    break;
  default:
    break;
  }
  free(p->address), free(p->data);
  return ok;
}
// Removes what no counter holds any more.
static bool sweep(Wave *w) {
  bool ok = true, removed = false;
  int kept = 0;
  for (int k = 0; k < w->npend; ++k) {
    Pend *p = &w->pend[k];
    if (p->vm || p->lgkm) {
      if (kept != k)
        w->pend[kept] = *p;
      ++kept;
      continue;
    }
    ok &= finish(w, p);
    removed |= p->count != 0;
  }
  w->npend = kept;
  if (removed)
    remark(w);
  return ok;
}
bool wait_vm(Wave *w, u32 allowed) {
  if ((u32)w->nvm <= allowed)
    return true;
  for (int k = 0; k < w->npend && (u32)w->nvm > allowed; ++k)
    if (w->pend[k].vm) {
      w->pend[k].vm = false;
      --w->nvm;
    }
  return sweep(w);
}
bool wait_lgkm(Wave *w, u32 allowed) {
  if ((u32)w->nlgkm <= allowed)
    return true;
  u32 ds = 0;
  for (int k = 0; k < w->npend; ++k)
    ds += w->pend[k].lgkm && w->pend[k].kind == PEND_DS;
  for (int k = 0; k < w->npend; ++k) {
    Pend *p = &w->pend[k];
    if (!p->lgkm)
      continue;
    // Whatever has left the counter, all but the newest `allowed` LDS
    // operations are among it.
    bool complete = allowed == 0 || (p->kind == PEND_DS && ds-- > allowed);
    if (complete) {
      p->lgkm = false;
      --w->nlgkm;
    }
  }
  return sweep(w);
}
bool end_flight(Wave *w) {
  bool ok = wait_lgkm(w, 0);
  for (int k = 0; k < w->npend; ++k) {
    Pend *p = &w->pend[k];
    if (p->kind == PEND_WRITEBACK)
      ok &= finish(w, p);
    else
      free(p->address), free(p->data);
    if (p->kind == PEND_LOAD && p->deferred)
      --w->cu->late;
  }
  w->npend = w->nvm = w->nlgkm = 0;
  return ok;
}

Pend *add_pend(Wave *w, const Inst *i, PendKind kind, bool vm, bool lgkm,
               u32 first, u32 count) {
  if (count && unlikely(overlaps(w, first, count)))
    for (int k = 0; k < w->npend;
         ++k) { // in order within one kind: the newer load wins
      Pend *p = &w->pend[k];
      bool meets = p->first < first + count && first < (u32)p->first + p->count;
      if (meets && (p->kind != kind || kind == PEND_SCALAR)) {
        hazard_at(w, i, p->first > first ? p->first : first);
        return NULL;
      }
    }
  if (vm && w->nvm == 63 && !wait_vm(w, 62)) // the hardware stalls here, too
    return NULL;
  if (w->npend == MAX_PEND && !(wait_vm(w, 0) && wait_lgkm(w, 0)))
    return NULL;
  Pend *p = &w->pend[w->npend++];
  memset(p, 0, sizeof(*p));
  p->kind = (u8)kind;
  p->vm = vm, p->lgkm = lgkm;
  p->first = (u16)first, p->count = (u16)count;
  p->pc = i->pc;
  p->inst = i;
  p->exec = w->exec;
  w->nvm += vm, w->nlgkm += lgkm;
  mark(w, first, count);
  return p;
}

bool sample_late_loads(Cu *cu) {
  if (!cu->late)
    return true;
  Machine *m = cu->machine;
  bool ok = true;
  for (u32 k = 0; k < m->nwave; ++k) {
    Wave *w = m->wave[k];
    if (w->cu != cu)
      continue;
    for (int n = 0; n < w->npend; ++n)
      if (w->pend[n].kind == PEND_LOAD && w->pend[n].deferred)
        ok &= perform_load(w, &w->pend[n]);
  }
  return ok;
}

// imm: vmcnt, lgkmcnt << 8; 255 where the counter is not named.
static const Inst *run_s_waitcnt(Wave *w, const Inst *i) {
  if (!w->npend)
    return i + 1;
  u32 vm = i->imm & 255, lgkm = i->imm >> 8 & 255;
  bool ok = true;
  if (vm != 255)
    ok &= wait_vm(w, vm);
  if (lgkm != 255)
    ok &= wait_lgkm(w, lgkm);
  return likely(ok) ? i + 1 : stop(w, i, STOP_ERROR);
}

const Opcode flight_opcodes[] = {{"s_waitcnt", run_s_waitcnt, "none"},
                                 {NULL, NULL, NULL}};
