// Workgroups, waves and the order in which they run; the interface to Python.
//
// One host thread runs all waves. It goes round after round over the resident
// waves in a seeded order; a wave runs until it sleeps, meets a barrier, ends,
// yields after an atomic, or has used a seeded number of instructions. Every
// wave gets its turn, so that a wave that spins never starves the one it
// waits for. A starved workgroup gets its turn only after some rounds in which
// nobody made progress.
#include "memory.h"
#include "table.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))

static const Opcode *const tables[] = {valu_opcodes,   salu_opcodes,
                                       mfma_opcodes,   lds_opcodes,
                                       access_opcodes, flight_opcodes};

// ---- opcode table ----
static const Opcode *opcode(u32 index) {
  for (u32 t = 0; t < sizeof(tables) / sizeof(*tables); ++t)
    for (const Opcode *o = tables[t]; o->name; ++o)
      if (!index--)
        return o;
  return NULL;
}
EXPORT const char *cdna_opcode_name(u32 index) {
  const Opcode *o = opcode(index);
  return o ? o->name : NULL;
}
EXPORT const char *cdna_opcode_types(u32 index) { return opcode(index)->types; }
EXPORT u32 cdna_record_size(void) { return sizeof(Inst); }
EXPORT u32 cdna_config_size(void) { return sizeof(Config); }

// ---- floating-point mode ----
// Denormals of f32 are flushed when both mode bits are clear.
void apply_mode(const Wave *w) {
#if defined(__x86_64__)
  u32 csr = _mm_getcsr() & ~0x8040u;
  _mm_setcsr(w->mode >> 4 & 3 ? csr : csr | 0x8040u);
#endif
}

// ---- construction ----
EXPORT Machine *cdna_create(const Config *config, const u32 *cu_xcd) {
  Machine *m = calloc(1, sizeof(Machine));
  m->config = *config;
  m->cu_xcd = malloc(4 * config->cus);
  memcpy(m->cu_xcd, cu_xcd, 4 * config->cus);
  m->random = config->seed * 0x9e3779b97f4a7c15ull + 0x632be59bd9b4e019ull;
  for (int k = 0; k < 8; ++k)
    next_random(m);
  build_caches(m);
  return m;
}
static void drop_wave(Wave *w) {
  for (int k = 0; k < w->npend; ++k)
    free(w->pend[k].address), free(w->pend[k].data);
  free(w);
}
static void drop_resident(Machine *m) {
  for (u32 k = 0; k < m->nwave; ++k)
    drop_wave(m->wave[k]);
  for (u32 k = 0; k < m->ngroup; ++k)
    free(m->group[k]->lds), free(m->group[k]);
  free(m->wave), free(m->group);
  m->wave = NULL, m->group = NULL;
  m->nwave = m->ngroup = 0;
}
EXPORT void cdna_destroy(Machine *m) {
  drop_resident(m);
  free_caches(m);
  for (u32 k = 0; k < m->nbroadcast; ++k)
    free(m->broadcast[k]);
  free(m->broadcast), free(m->cu_xcd), free(m->code);
  free(m);
}
EXPORT void cdna_set_ranges(Machine *m, Range *range, u32 count) {
  m->range = range;
  m->nrange = count;
  m->hint = range;
}

// A constant source as rows: its low words, then its high words.
static const u32 *constant_row(Machine *m, u64 value) {
  u32 *row = aligned_alloc(64, 8 * LANES);
  EACH_LANE {
    row[l] = (u32)value;
    row[LANES + l] = (u32)(value >> 32);
  }
  if (!(m->nbroadcast & (m->nbroadcast - 1)))
    m->broadcast = realloc(
        m->broadcast, sizeof(u32 *) * (m->nbroadcast ? 2 * m->nbroadcast : 1));
  return m->broadcast[m->nbroadcast++] = row;
}
// Takes decoded instructions, and resolves their handlers and constants.
EXPORT void cdna_set_code(Machine *m, const Inst *code, u32 count,
                          const i32 *index_of, u32 text_words, u64 text_address,
                          const u8 *perms) {
  free(m->code);
  for (u32 k = 0; k < m->nbroadcast; ++k)
    free(m->broadcast[k]);
  free(m->broadcast);
  m->broadcast = NULL;
  m->nbroadcast = 0;
  m->code = aligned_alloc(64, (sizeof(Inst) * count + 63) / 64 * 64);
  memcpy(m->code, code, sizeof(Inst) * count);
  m->ncode = count;
  m->index_of = index_of;
  m->text_words = text_words;
  m->text_address = text_address;
  m->perms = perms;
  u64 values[64];
  const u32 *rows[64];
  u32 cached = 0;
  for (u32 k = 0; k < count; ++k) {
    Inst *i = &m->code[k];
    i->run = opcode(i->op)->run;
    for (int s = 0; s < 4; ++s) {
      Operand *o = &i->src[s];
      o->plain = o->kind == OPERAND_ROW && !o->mods && !o->select;
      if (i->src[s].kind != OPERAND_CONST)
        continue;
      u32 c = 0;
      while (c < cached && values[c] != i->src[s].value)
        ++c;
      if (c < cached) {
        i->row[s] = rows[c];
        continue;
      }
      i->row[s] = constant_row(m, i->src[s].value);
      if (cached < 64)
        values[cached] = i->src[s].value, rows[cached++] = i->row[s];
    }
  }
}

// ---- workgroups ----
// Rounds for which a wave stays away: mostly few, sometimes many.
static u32 linger(Machine *m) {
  return (u32)(next_random(m) % (1u << next_random(m) % 8));
}
static Cu *pick_cu(Machine *m, u32 group, u32 waves, u32 lds) {
  Config *c = &m->config;
  u32 first = (c->first_xcd + group) % c->xcds;
  for (u32 turn = 0; turn < c->xcds; ++turn) {
    int xcd = (int)((first + turn) % c->xcds);
    Cu *best = NULL;
    u32 start = (u32)(next_random(m) % c->cus);
    for (u32 k = 0; k < c->cus; ++k) {
      Cu *cu = &m->cu[(start + k) % c->cus];
      if (cu->xcd != xcd || cu->lds + lds > c->lds_per_cu ||
          (u32)cu->waves + waves > c->waves_per_cu ||
          (u32)cu->groups >= c->groups_per_cu)
        continue;
      if (!best || cu->groups < best->groups)
        best = cu;
    }
    if (best)
      return best;
  }
  return NULL;
}
static void start_wave(Machine *m, const Dispatch *d, Group *g, int index) {
  Wave *w = aligned_alloc(64, (sizeof(Wave) + 63) / 64 * 64);
  memset((u8 *)w + sizeof(w->v), 0, sizeof(Wave) - sizeof(w->v));
  // Registers begin with a value that no correct kernel depends on.
  for (u32 r = 0; r < ROWS; ++r)
    if (r < d->vgprs || (r >= ROW_AGPR && r < ROW_AGPR + d->agprs))
      EACH_LANE w->v[r][l] = POISON;
  for (u32 r = 0; r < SGPRS; ++r)
    w->s[r] = POISON;
  w->machine = m;
  w->group = g;
  w->cu = g->cu;
  w->index = index;
  w->code = m->code;
  w->ip = m->code + d->entry;
  w->mode = d->mode;
  w->pace = 1;
  u32 s = 0;
  for (; s < d->user_sgprs; ++s)
    w->s[s] = d->user[s];
  for (int k = 0; k < 3; ++k)
    if (d->workgroup_ids >> k & 1)
      w->s[s++] = (u32)g->id[k];
  if (d->workgroup_info)
    w->s[s++] = 0;
  u32 threads = d->block[0] * d->block[1] * d->block[2],
      first = (u32)index * LANES;
  u64 exec = 0;
  EACH_LANE {
    u32 t = first + (u32)l;
    if (t < threads)
      exec |= 1ull << l;
    u32 x = t % d->block[0], y = t / d->block[0] % d->block[1],
        z = t / (d->block[0] * d->block[1]);
    w->v[0][l] = x | y << 10 | z << 20;
  }
  set_exec(w, exec);
  g->wave[index] = w;
  if (m->nwave == m->mwave || !m->wave) {
    m->mwave = m->wave ? 2 * m->mwave : 64;
    m->wave = realloc(m->wave, sizeof(Wave *) * m->mwave);
  }
  m->wave[m->nwave++] = w;
}
static bool start_group(Machine *m, const Dispatch *d, u32 index, u32 waves) {
  Cu *cu = pick_cu(m, index, waves, d->lds);
  if (!cu)
    return false;
  Group *g = calloc(1, sizeof(Group));
  g->index = (int)index;
  g->id[0] = (int)(index % d->grid[0]);
  g->id[1] = (int)(index / d->grid[0] % d->grid[1]);
  g->id[2] = (int)(index / d->grid[0] / d->grid[1]);
  g->nwaves = (int)waves;
  g->cu = cu;
  if (m->config.starve && toss(m, m->config.starve)) { // each in its own measure
    g->patience = m->config.patience + (u32)(next_random(m) % (3ull * m->config.patience + 1));
    g->plenty = (u32)(next_random(m) % (m->config.starve_after + 1ull));
  }
  g->lds_size = d->lds;
  g->lds = malloc(d->lds + 16);
  for (u32 k = 0; k + 4 <= d->lds; k += 4)
    memcpy(g->lds + k, &(u32){POISON}, 4);
  cu->groups++, cu->waves += (int)waves, cu->lds += d->lds;
  m->group = realloc(m->group, sizeof(Group *) * (m->ngroup + 1));
  m->group[m->ngroup++] = g;
  for (u32 k = 0; k < waves; ++k) {
    start_wave(m, d, g, (int)k);
    Wave *w = m->wave[m->nwave - 1];
    w->pace = toss(m, m->config.slow_wave) ? m->config.slow_pace : 1;
    w->nap = toss(m, m->config.straggle) ? linger(m) : 0;
  }
  ++m->progress;
  return true;
}
// Frees the groups whose waves have all ended.
static void retire_groups(Machine *m) {
  u32 kept = 0;
  for (u32 k = 0; k < m->nwave; ++k) {
    Wave *w = m->wave[k];
    if (w->group->ended == w->group->nwaves)
      continue;
    m->wave[kept++] = w;
  }
  m->nwave = kept;
  kept = 0;
  for (u32 k = 0; k < m->ngroup; ++k) {
    Group *g = m->group[k];
    if (g->ended < g->nwaves) {
      m->group[kept++] = g;
      continue;
    }
    g->cu->groups--, g->cu->waves -= g->nwaves, g->cu->lds -= g->lds_size;
    for (int n = 0; n < g->nwaves; ++n)
      drop_wave(g->wave[n]);
    free(g->lds), free(g);
  }
  m->ngroup = kept;
}

// ---- running ----
enum {
  SPIN = 500, // most instructions between two sleeps of a wave that only waits
  // Instructions without progress after which even a starved workgroup runs: the
  // others may be waiting for it without a sleep.
  FAMINE = 1 << 18
};
static void run_wave(Machine *m, Wave *w, u64 quantum) {
  const Inst *i = w->ip;
  u64 n = 0;
  w->stop = STOP_QUANTUM;
  while (n < quantum) {
    if (unlikely(w->npend) && unlikely(find_hazard(w, i))) {
      i = stop(w, i, STOP_ERROR);
      break;
    }
    ++n;
    i = i->run(w, i);
    if (unlikely(!i))
      break;
  }
  if (i)
    w->ip = i;
  w->count += n;
  w->awake += n;
  m->clock += n;
  ++m->stats.turns;
}
static void release_barrier(Machine *m, Group *g) {
  if (!g->arrived || g->arrived + g->ended < g->nwaves)
    return;
  g->arrived = 0;
  for (int k = 0; k < g->nwaves; ++k)
    if (g->wave[k]->state ==
        WAVE_BARRIER) { // not all of them leave it together
      g->wave[k]->state = WAVE_READY;
      g->wave[k]->nap = toss(m, m->config.straggle) ? linger(m) : 0;
    }
}
static void fail(Machine *m, int code) {
  if (!m->error.code) {
    memset(&m->error, 0, sizeof(m->error));
    m->error.code = code;
    m->error.group = m->error.wave = m->error.lane = -1;
  }
}
static bool starves(const Wave *w) {
  return w->group->patience && !w->group->plenty;
}
// Runs a kernel; 0, or an error code (cdna_error tells more). After an error
// the waves stay, so that the caller can look at them, until the next call.
EXPORT int cdna_launch(Machine *m, const Dispatch *d) {
  Config *c = &m->config;
  drop_resident(m);
  memset(&m->error, 0, sizeof(m->error));
  memset(&m->stats, 0, sizeof(m->stats));
  u64 first_clock = m->clock, last_progress_clock = m->clock,
      last_progress = m->progress;
  clear_history(m->history);
  for (u32 k = 0; k < c->cus; ++k) { // a dispatch begins with empty caches
    Cu *cu = &m->cu[k];
    cu->groups = cu->waves = 0, cu->lds = cu->late = cu->queued = 0;
    for (int q = 0; q < CHANNELS; ++q)
      cu->queue[q].head = cu->queue[q].size = 0;
    if (c->caches)
      invalidate_l1(cu), invalidate_scalar(cu);
  }
  for (u32 k = 0; c->caches && k < c->xcds; ++k) {
    L2 *l2 = &m->l2[k];
    memset(l2->tag, 0, sizeof(u64) * l2->sets * L2_WAYS);
    ++l2->epoch; // nothing is dirty: a dispatch ends with a write-back
  }
#if defined(__x86_64__)
  u32 host_mode = _mm_getcsr();
#endif
  u32 total = d->grid[0] * d->grid[1] * d->grid[2], next = 0;
  u32 waves = (d->block[0] * d->block[1] * d->block[2] + LANES - 1) / LANES;
  u32 idle = 0, famine = 0, mode = ~0u;
  while (true) {
    bool room = true;
    while (next < total && room) {
      room = start_group(m, d, next, waves);
      next += room;
    }
    if (!m->nwave) {
      if (next < total)
        fail(m, ERROR_PLACEMENT);
      break;
    }
    // One round, from a random wave and by a random step.
    ++m->stats.rounds;
    u32 n = m->nwave, start = (u32)(next_random(m) % n),
        step = 1 + (u32)(next_random(m) % n);
    for (u32 a = step, b = n;;) { // coprime, or one
      u32 t = a % b;
      if (!t) {
        if (b != 1)
          step = 1;
        break;
      }
      a = b, b = t;
    }
    bool busy = false, works = false, able = false, ended = false;
    for (u32 k = 0; k < n && !m->error.code; ++k) {
      Wave *w = m->wave[(start + (u64)k * step) % n];
      if (w->state != WAVE_READY)
        continue;
      if (w->nap) {
        --w->nap;
        able |= !w->naps && !starves(w);
        continue;
      }
      if (w->pace > 1 && idle < 64 && next_random(m) % w->pace) {
        able |= !w->naps && !starves(w);
        continue;
      }
      // The first starved wave that gets somewhere sends the others back.
      if (starves(w) && (m->progress != last_progress ||
                         (famine < w->group->patience && idle < c->stall_rounds / 2 &&
                          m->clock - last_progress_clock < FAMINE)))
        continue;
      if (w->mode != mode) {
        apply_mode(w);
        mode = w->mode;
      }
      u64 before = m->progress;
      run_wave(m, w, 1 + next_random(m) % (2ull * c->quantum));
      mode = w->mode;
      switch (w->stop) {
      case STOP_SLEEP: // later and later while nothing else happens
        w->awake = 0;
        w->naps = w->naps < 8 ? w->naps + 1 : 8;
        w->nap = (u32)(next_random(m) % (1u << w->naps));
        break;
      case STOP_BARRIER:
        w->state = WAVE_BARRIER;
        ++w->group->arrived;
        release_barrier(m, w->group);
        break;
      case STOP_END:
        if (c->caches && w->npend &&
            !w->lingers) { // s_endpgm waits for nothing
          w->lingers = true;
          w->nap = linger(m);
          break;
        }
        if (!end_flight(w))
          break;
        w->state = WAVE_ENDED;
        m->stats.instructions += w->count - w->extra;
        ++w->group->ended;
        ++m->progress;
        release_barrier(m, w->group);
        ended |= w->group->ended == w->group->nwaves;
        break;
      case STOP_QUANTUM:
        if (w->awake > SPIN) { // more than a turn of a loop that sleeps
          busy |= !starves(w);
          works |= starves(w);
          w->naps = 0;
        }
        able |= !w->naps && !starves(w); // one that polls may be in the middle of it
        w->nap = toss(m, m->config.straggle / 16) ? linger(m) : 0;
        break;
      default: // after an atomic the others get time to see what this wave has,
               // and has not, made visible
        w->nap = linger(m);
        if (m->progress != before) { // else it may be how the wave polls
          w->naps = 0;
          able |= !starves(w);
        }
        break;
      }
    }
    if (m->error.code)
      break;
    if (ended)
      retire_groups(m);
    // Stores arrive in the end even if nobody waits for them.
    if (c->caches)
      for (u32 k = 0; k <= c->cus / 8; ++k) {
        Cu *cu = &m->cu[next_random(m) % c->cus];
        if (cu->queued && toss(m, c->drain))
          drain_channel(m, cu, (u32)(next_random(m) % CHANNELS), ~0ull);
      }
    // Who starves gets its turn when all others sleep or wait, and nothing comes of it.
    famine = able || m->progress != last_progress ? 0 : famine + !works;
    if (m->progress != last_progress) {
      last_progress = m->progress;
      last_progress_clock = m->clock;
      idle = 0;
    } else if (!works) { // a starved wave at work may go on, and is no deadlock
      idle = busy ? 0 : idle + 1;
    }
    bool queued = false;
    if (idle > c->stall_rounds)
      for (u32 k = 0; k < c->cus; ++k)
        queued |= m->cu[k].queued != 0;
    if ((idle > c->stall_rounds && !queued) ||
        m->clock - last_progress_clock > c->stall_instructions)
      fail(m, ERROR_DEADLOCK);
    else if (m->clock - first_clock > c->max_instructions)
      fail(m, ERROR_BUDGET);
    if (m->error.code)
      break;
  }
  if (c->caches) { // the end of a dispatch is a release to the host
    for (u32 k = 0; k < c->cus; ++k)
      drain_cu(m, &m->cu[k], ~0ull);
    u64 writebacks = m->stats.writebacks, lines = m->stats.lines_written_back;
    u32 first = (u32)next_random(m);
    for (u32 k = 0; k < c->xcds; ++k)
      writeback_l2(m, (int)((first + k) % c->xcds));
    m->stats.writebacks = writebacks, m->stats.lines_written_back = lines;
  }
  for (u32 k = 0; k < m->nwave; ++k)
    if (m->wave[k]->state != WAVE_ENDED)
      m->stats.instructions += m->wave[k]->count - m->wave[k]->extra;
#if defined(__x86_64__)
  _mm_setcsr(host_mode);
#endif
  return m->error.code;
}

// ---- what the caller may look at ----
EXPORT const Error *cdna_error(const Machine *m) { return &m->error; }
EXPORT const Stats *cdna_stats(const Machine *m) { return &m->stats; }
typedef struct {
  i32 group, id[3], wave, xcd, cu, state, stop;
  u32 pc, vm, lgkm;
  u64 count, exec, last_address;
} WaveView;
EXPORT u32 cdna_wave_count(const Machine *m) { return m->nwave; }
EXPORT void cdna_wave(const Machine *m, u32 index, WaveView *view, u32 *sgprs) {
  const Wave *w = m->wave[index];
  *view = (WaveView){.group = w->group->index,
                     .wave = w->index,
                     .xcd = w->cu->xcd,
                     .cu = w->cu->index,
                     .state = w->state,
                     .stop = w->naps ? STOP_SLEEP : w->stop,
                     .pc = w->ip->pc,
                     .vm = (u32)w->nvm,
                     .lgkm = (u32)w->nlgkm,
                     .count = w->count - w->extra,
                     .exec = w->exec,
                     .last_address = w->last_address};
  memcpy(view->id, w->group->id, sizeof(view->id));
  memcpy(sgprs, w->s, sizeof(w->s));
}
EXPORT void cdna_wave_vgpr(const Machine *m, u32 index, u32 row, u32 *lanes) {
  memcpy(lanes, m->wave[index]->v[row], 4 * LANES);
}
EXPORT void cdna_set_waves_per_cu(Machine *m, u32 waves) {
  m->config.waves_per_cu = waves;
}
