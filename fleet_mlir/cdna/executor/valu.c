// Vector arithmetic: the lane-wise table of valu.def, comparisons, carries,
// packed forms, DPP and SDWA steps, and moves between lanes and SGPRs.
#include "core.h"
#include "table.h"

// ---- arithmetic helpers ----
#define INLINE static inline __attribute__((always_inline))
INLINE u32 max_u32(u32 a, u32 b) { return a > b ? a : b; }
INLINE u32 min_u32(u32 a, u32 b) { return a < b ? a : b; }
INLINE i32 max_i32(i32 a, i32 b) { return a > b ? a : b; }
INLINE i32 min_i32(i32 a, i32 b) { return a < b ? a : b; }
// IEEE maxNum with -0 < +0; a NaN loses.
INLINE float max_f32(float a, float b) {
  float r = a > b ? a : b;
  r = a == b ? as_f32(f32_bits(a) & f32_bits(b)) : r;
  r = a != a ? b : r;
  return b != b ? a : r;
}
INLINE float min_f32(float a, float b) {
  float r = a < b ? a : b;
  r = a == b ? as_f32(f32_bits(a) | f32_bits(b)) : r;
  r = a != a ? b : r;
  return b != b ? a : r;
}
INLINE float maximum_f32(float a, float b) {
  return a != a || b != b ? NAN : max_f32(a, b);
}
INLINE float minimum_f32(float a, float b) {
  return a != a || b != b ? NAN : min_f32(a, b);
}
INLINE float med3_f32(float a, float b, float c) {
  return max_f32(min_f32(a, b), min_f32(max_f32(a, b), c));
}
INLINE float saturate(float x) { return !(x > 0) ? 0 : x > 1 ? 1 : x; }
INLINE i32 sext24(u32 x) { return (i32)(x << 8) >> 8; }
INLINE u32 f32_to_u32(float f) {
  return f >= 4294967296.0f ? ~0u : f > 0 ? (u32)(u64)(i64)f : 0;
}
INLINE i32 f32_to_i32(float f) {
  i32 r = f >= 2147483648.0f    ? 0x7fffffff
          : f <= -2147483648.0f ? (i32)0x80000000
          : f != f              ? 0
                                : (i32)(i64)f;
  return r;
}
INLINE u32 f64_to_u32(double f) {
  return f >= 4294967295.0 ? ~0u : f > 0 ? (u32)(i64)f : 0;
}
INLINE i32 f64_to_i32(double f) {
  return f >= 2147483647.0    ? 0x7fffffff
         : f <= -2147483648.0 ? (i32)0x80000000
         : f != f             ? 0
                              : (i32)f;
}
INLINE u32 f16_toward_zero(float x) {
  f16 h = (f16)x;
  u32 bits = f16_bits(h);
  float back = (float)h;
  return bits - (__builtin_fabsf(back) > __builtin_fabsf(x) ? 1 : 0);
}
// 2^x and log2 x through double precision, so that the result is within one
// unit in the last place and the loop over lanes vectorises.
INLINE float exp2_f32(float x) {
  double d = x, n = __builtin_rint(d < -160 ? -160 : d > 160 ? 160 : d);
  double f = (d - n) * 0.693147180559945309417;
  f = d > 160 || d < -160 ? 0 : f;
  double p =
      1 + f * (1 + f * (1 / 2.0 +
                        f * (1 / 6.0 +
                             f * (1 / 24.0 +
                                  f * (1 / 120.0 +
                                       f * (1 / 720.0 + f * (1 / 5040.0)))))));
  double r = p * as_f64((u64)((i64)n + 1023) << 52);
  return x != x ? x : (float)r;
}
INLINE float log2_f32(float x) {
  double d = x;
  u64 bits = f64_bits(d);
  i64 e = (i64)(bits >> 52 & 2047) - 1023;
  double m = as_f64((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  bool big = m > 1.41421356237;
  m = big ? m * 0.5 : m;
  e = big ? e + 1 : e;
  double t = (m - 1) / (m + 1), q = t * t;
  double s =
      t *
      (2 + q * (2 / 3.0 +
                q * (2 / 5.0 +
                     q * (2 / 7.0 +
                          q * (2 / 9.0 + q * (2 / 11.0 + q * (2 / 13.0)))))));
  float r = (float)((double)e + s * 1.44269504088896340736);
  r = x == 0 ? -INFINITY : r;
  r = x == INFINITY ? INFINITY : r;
  return x < 0 || x != x ? NAN : r;
}
INLINE float frexp_mant(float x) {
  int e;
  return isinf(x) || isnan(x) ? x : frexpf(x, &e);
}
INLINE i32 frexp_exp(float x) {
  int e = 0;
  if (!isinf(x) && !isnan(x))
    frexpf(x, &e);
  return e;
}
INLINE u32 bfe_u32(u32 x, u32 offset, u32 width) {
  offset &= 31, width &= 31;
  return x >> offset & ((1u << width) - 1);
}
INLINE u32 bfe_i32(u32 x, u32 offset, u32 width) {
  offset &= 31, width &= 31;
  u32 room = offset + width < 32 ? 32 - width : 0;
  u32 t = (u32)((i32)(x >> offset << room) >> room);
  t = offset + width < 32 ? t : (u32)((i32)x >> offset);
  return width ? t : 0;
}
static u32 perm_bytes(u32 a, u32 b, u32 select) {
  u64 data = (u64)a << 32 | b;
  u32 r = 0;
  for (int i = 0; i < 4; ++i) {
    u32 k = select >> (8 * i) & 255, x;
    if (k >= 13)
      x = 255;
    else if (k == 12)
      x = 0;
    else if (k >= 8)
      x = data >> ((k - 8) * 16 + 15) & 1 ? 255 : 0;
    else
      x = data >> (8 * k) & 255;
    r |= x << (8 * i);
  }
  return r;
}
INLINE int exponent(float f) { return f32_bits(f) >> 23 & 255; }
INLINE bool is_denormal(float f) {
  u32 u = f32_bits(f);
  return !(u >> 23 & 255) && (u & 0x7fffff);
}
static float div_fixup(float quotient, float denominator, float numerator) {
  bool negative = signbit(denominator) ^ signbit(numerator);
  float r;
  if (isnan(numerator))
    return numerator;
  if (isnan(denominator))
    return denominator;
  if ((numerator == 0 && denominator == 0) ||
      (isinf(numerator) && isinf(denominator)))
    return NAN;
  if (denominator == 0 || isinf(numerator))
    r = INFINITY;
  else if (isinf(denominator) || numerator == 0)
    r = 0;
  else if (exponent(numerator) - exponent(denominator) < -150 ||
           exponent(denominator) == 255)
    r = 0;
  else
    r = isnan(quotient) ? INFINITY : fabsf(quotient);
  return negative ? -r : r;
}
static u32 div_scale(float s0, float s1, float s2, bool *vcc) {
  *vcc = false;
  if (s2 == 0 || s1 == 0)
    return f32_bits(NAN);
  float q = s2 / s1, d = s0;
  bool tiny_reciprocal = is_denormal(1.0f / s1) || exponent(s1) >= 253;
  bool tiny_quotient = is_denormal(q) || exponent(s2) - exponent(s1) <= -126;
  bool is_denominator = f32_bits(s0) == f32_bits(s1),
       is_numerator = f32_bits(s0) == f32_bits(s2);
  if (exponent(s2) - exponent(s1) >= 96) {
    *vcc = true;
    if (is_denominator)
      d = ldexpf(s0, 64);
  } else if (is_denormal(s1))
    d = ldexpf(s0, 64);
  else if (tiny_reciprocal && tiny_quotient) {
    *vcc = true;
    if (is_denominator)
      d = ldexpf(s0, 64);
  } else if (tiny_reciprocal)
    d = ldexpf(s0, -64);
  else if (tiny_quotient) {
    *vcc = true;
    if (is_numerator)
      d = ldexpf(s0, 64);
  } else if (exponent(s2) <= 23)
    d = ldexpf(s0, 64);
  return f32_bits(d);
}
static u32 class_f32(float f, u32 mask) {
  u32 u = f32_bits(f), mantissa = u & 0x7fffff, e = u >> 23 & 255;
  bool s = u >> 31;
  int c = e == 255   ? (mantissa ? (mantissa >> 22 ? 1 : 0)
                        : s      ? 2
                                 : 9)
          : e        ? (s ? 3 : 8)
          : mantissa ? (s ? 4 : 7)
          : s        ? 5
                     : 6;
  return mask >> c & 1;
}
float fp8_value(u32 x) {
  u32 s = x >> 7 & 1, e = x >> 3 & 15, m = x & 7;
  float r = e == 15 && m == 7 ? NAN
            : e               ? ldexpf(8 + (float)m, (int)e - 10)
                              : ldexpf((float)m, -9);
  return s ? -r : r;
}
float bf8_value(u32 x) {
  u32 s = x >> 7 & 1, e = x >> 2 & 31, m = x & 3;
  float r = e == 31 ? (m ? NAN : INFINITY)
            : e     ? ldexpf(4 + (float)m, (int)e - 17)
                    : ldexpf((float)m, -16);
  return s ? -r : r;
}

// ---- sources ----
static void broadcast(u32 *row, u32 x) { FOR_LANES row[l] = x; }
const u32 *fetch_slow(Wave *w, const Inst *i, int k, u32 *tmp) {
  const Operand *o = &i->src[k];
  const u32 *row;
  if (o->kind == OPERAND_ROW) {
    row = w->v[o->reg];
  } else if (o->kind == OPERAND_CONST) {
    row = i->row[k];
  } else {
    u64 x = o->words == 2 ? scalar64(w, o) : scalar32(w, o);
    broadcast(tmp, (u32)x);
    if (o->words == 2)
      broadcast(tmp + LANES, (u32)(x >> 32));
    row = tmp;
  }
  if (o->select) {
    u32 bits = o->select < 5 ? 8 : 16,
        shift = o->select < 5 ? 8 * (o->select - 1u) : 16 * (o->select - 5u);
    if (o->mods & MOD_SEXT)
      FOR_LANES tmp[l] =
          (u32)((i32)(row[l] << (32 - bits - shift)) >> (32 - bits));
    else
      FOR_LANES tmp[l] = row[l] >> shift & ((1u << bits) - 1);
    row = tmp;
  }
  if (o->mods & (MOD_NEG | MOD_ABS)) {
    u32 sign = o->mods & MOD_F16 ? 0x8000u : 0x80000000u;
    u32 keep = o->mods & MOD_ABS ? ~sign : ~0u,
        flip = o->mods & MOD_NEG ? sign : 0;
    if (o->mods & MOD_F64) {
      FOR_LANES tmp[LANES + l] = (row[LANES + l] & keep) ^ flip;
      if (row != tmp)
        FOR_LANES tmp[l] = row[l];
    } else {
      FOR_LANES tmp[l] = (row[l] & keep) ^ flip;
    }
    row = tmp;
  }
  return row;
}

// ---- lane-wise instructions ----
#define CTYPE_F float
#define CTYPE_D double
#define CTYPE_H f16
#define CTYPE_B float
#define CTYPE_U u32
#define CTYPE_I i32
#define CTYPE_Q u64
#define CTYPE_J i64
#define WIDE(p) ((p)[l] | (u64)(p)[LANES + l] << 32)
#define READ_F(p) as_f32((p)[l])
#define READ_D(p) as_f64(WIDE(p))
#define READ_H(p) as_f16((p)[l])
#define READ_B(p) as_bf16((p)[l])
#define READ_U(p) (p)[l]
#define READ_I(p) (i32)(p)[l]
#define READ_Q(p) WIDE(p)
#define READ_J(p) (i64) WIDE(p)
#define WRITE1(x, keep) d[l] = keep ? d[l] : (x)
#define WRITE2(x, keep)                                                        \
  u64 wide = (x);                                                              \
  d[l] = keep ? d[l] : (u32)wide;                                              \
  d[LANES + l] = keep ? d[LANES + l] : (u32)(wide >> 32)
#define WRITE_F(e, keep) WRITE1(f32_bits(e), keep)
#define WRITE_H(e, keep) WRITE1(f16_bits(e), keep)
#define WRITE_U(e, keep) WRITE1((e), keep)
#define WRITE_I(e, keep) WRITE1((u32)(e), keep)
#define WRITE_D(e, keep) WRITE2(f64_bits(e), keep)
#define WRITE_Q(e, keep) WRITE2((e), keep)
#define WRITE_J(e, keep) WRITE2((u64)(e), keep)

#define VALU1_(NAME, LOOP, D, A, E)                                            \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u32 t0[2 * LANES], *d = w->v[i->dst];                                      \
    const u32 *p0 = fetch(w, i, 0, t0);                                        \
    if (likely(w->exec == ~0ull)) {                                            \
      LOOP {                                                                   \
        CTYPE_##A x0 = READ_##A(p0);                                           \
        CTYPE_##D r = E;                                                       \
        WRITE_##D(r, false);                                                   \
      }                                                                        \
    } else {                                                                   \
      LOOP {                                                                   \
        CTYPE_##A x0 = READ_##A(p0);                                           \
        CTYPE_##D r = E;                                                       \
        WRITE_##D(r, !w->on[l]);                                               \
      }                                                                        \
    }                                                                          \
    return i + 1;                                                              \
  }
#define VALU2_(NAME, LOOP, D, A, B, E)                                         \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u32 t0[2 * LANES], t1[2 * LANES], *d = w->v[i->dst];                       \
    const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1);              \
    if (likely(w->exec == ~0ull)) {                                            \
      LOOP {                                                                   \
        CTYPE_##A x0 = READ_##A(p0);                                           \
        CTYPE_##B x1 = READ_##B(p1);                                           \
        CTYPE_##D r = E;                                                       \
        WRITE_##D(r, false);                                                   \
      }                                                                        \
    } else {                                                                   \
      LOOP {                                                                   \
        CTYPE_##A x0 = READ_##A(p0);                                           \
        CTYPE_##B x1 = READ_##B(p1);                                           \
        CTYPE_##D r = E;                                                       \
        WRITE_##D(r, !w->on[l]);                                               \
      }                                                                        \
    }                                                                          \
    return i + 1;                                                              \
  }
#define VALU3_(NAME, LOOP, D, A, B, C, E)                                      \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u32 t0[2 * LANES], t1[2 * LANES], t2[2 * LANES], *d = w->v[i->dst];        \
    const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1),              \
              *p2 = fetch(w, i, 2, t2);                                        \
    if (likely(w->exec == ~0ull)) {                                            \
      LOOP {                                                                   \
        CTYPE_##A x0 = READ_##A(p0);                                           \
        CTYPE_##B x1 = READ_##B(p1);                                           \
        CTYPE_##C x2 = READ_##C(p2);                                           \
        CTYPE_##D r = E;                                                       \
        WRITE_##D(r, false);                                                   \
      }                                                                        \
    } else {                                                                   \
      LOOP {                                                                   \
        CTYPE_##A x0 = READ_##A(p0);                                           \
        CTYPE_##B x1 = READ_##B(p1);                                           \
        CTYPE_##C x2 = READ_##C(p2);                                           \
        CTYPE_##D r = E;                                                       \
        WRITE_##D(r, !w->on[l]);                                               \
      }                                                                        \
    }                                                                          \
    return i + 1;                                                              \
  }
#define VALU1(NAME, D, A, E) VALU1_(NAME, FOR_LANES, D, A, E)
#define VALU2(NAME, D, A, B, E) VALU2_(NAME, FOR_LANES, D, A, B, E)
#define VALU3(NAME, D, A, B, C, E) VALU3_(NAME, FOR_LANES, D, A, B, C, E)
#define VALU1S(NAME, D, A, E) VALU1_(NAME, EACH_LANE, D, A, E)
#define VALU2S(NAME, D, A, B, E) VALU2_(NAME, EACH_LANE, D, A, B, E)
#define VALU3S(NAME, D, A, B, C, E) VALU3_(NAME, EACH_LANE, D, A, B, C, E)
#include "valu.def"
// Forms with an output clamp.
VALU2(v_add_u32_clamp, U, U, U, x0 + x1 < x0 ? ~0u : x0 + x1)
VALU2(v_sub_u32_clamp, U, U, U, x0 > x1 ? x0 - x1 : 0)

// ---- comparisons: a mask of lanes in an SGPR pair ----
enum { COMPARE_SETS_EXEC = 1 }; // Inst::imm
static const Inst *finish_compare(Wave *w, const Inst *i, const u32 *bits) {
  u64 m = pack_lanes(bits) & w->exec;
  put_pair(w, i->dst, m);
  if (i->imm & COMPARE_SETS_EXEC)
    set_exec(w, m);
  return i + 1;
}
#define COMPARE(NAME, T, E)                                                    \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u32 t0[2 * LANES], t1[2 * LANES], bits[LANES];                             \
    const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1);              \
    FOR_LANES {                                                                \
      CTYPE_##T x0 = READ_##T(p0);                                             \
      CTYPE_##T x1 = READ_##T(p1);                                             \
      bits[l] = (E);                                                           \
    }                                                                          \
    return finish_compare(w, i, bits);                                         \
  }
#define CTYPE_S i16
#define CTYPE_W u16
#define READ_S(p) (i16)(p)[l]
#define READ_W(p) (u16)(p)[l]
#define COMPARES_INT(X, SUFFIX, T)                                             \
  X(v_cmp_eq_##SUFFIX, T, x0 == x1)                                            \
  X(v_cmp_ne_##SUFFIX, T, x0 != x1) X(v_cmp_lt_##SUFFIX, T, x0 < x1)           \
      X(v_cmp_le_##SUFFIX, T, x0 <= x1) X(v_cmp_gt_##SUFFIX, T, x0 > x1)       \
          X(v_cmp_ge_##SUFFIX, T, x0 >= x1)
#define COMPARES_FLOAT(X, SUFFIX, T)                                           \
  X(v_cmp_eq_##SUFFIX, T, x0 == x1)                                            \
  X(v_cmp_neq_##SUFFIX, T, !(x0 == x1)) X(v_cmp_lt_##SUFFIX, T, x0 < x1)       \
      X(v_cmp_le_##SUFFIX, T, x0 <= x1) X(v_cmp_gt_##SUFFIX, T, x0 > x1) X(    \
          v_cmp_ge_##SUFFIX, T, x0 >= x1) X(v_cmp_nlt_##SUFFIX, T, !(x0 < x1)) \
          X(v_cmp_nle_##SUFFIX, T, !(x0 <= x1))                                \
              X(v_cmp_ngt_##SUFFIX, T, !(x0 > x1))                             \
                  X(v_cmp_nge_##SUFFIX, T, !(x0 >= x1))                        \
                      X(v_cmp_lg_##SUFFIX, T, x0<x1 || x0> x1)                 \
                          X(v_cmp_nlg_##SUFFIX, T, !(x0 < x1 || x0 > x1))      \
                              X(v_cmp_o_##SUFFIX, T, x0 == x0 && x1 == x1)     \
                                  X(v_cmp_u_##SUFFIX, T, x0 != x0 || x1 != x1)
#define COMPARES(X)                                                            \
  COMPARES_INT(X, u32, U)                                                      \
  COMPARES_INT(X, i32, I) COMPARES_INT(X, u64, Q) COMPARES_INT(X, i64, J)      \
      COMPARES_INT(X, u16, W) COMPARES_INT(X, i16, S)                          \
          COMPARES_FLOAT(X, f32, F) COMPARES_FLOAT(X, f64, D)                  \
              COMPARES_FLOAT(X, f16, H)
COMPARES(COMPARE)
static const Inst *run_v_cmp_class_f32(Wave *w, const Inst *i) {
  u32 t0[2 * LANES], t1[2 * LANES], bits[LANES];
  const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1);
  EACH_LANE bits[l] = class_f32(as_f32(p0[l]), p1[l]);
  return finish_compare(w, i, bits);
}

// ---- masks as operands ----
static inline u64 mask_source(const Wave *w, const Operand *o) {
  return o->kind == OPERAND_NONE ? get_pair(w, SGPR_VCC) : scalar64(w, o);
}
static const Inst *run_v_cndmask_b32(Wave *w, const Inst *i) {
  u32 t0[2 * LANES], t1[2 * LANES], *d = w->v[i->dst];
  const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1);
  u64 choice = mask_source(w, &i->src[2]);
  u32 half[2] = {(u32)choice, (u32)(choice >> 32)};
  for (int h = 0; h < 2; ++h) {
    u32 bits = half[h];
    u32 *dh = d + 32 * h;
    const u32 *a = p0 + 32 * h, *b = p1 + 32 * h, *on = w->on + 32 * h;
    _Pragma("clang loop vectorize(assume_safety)") for (u32 l = 0; l < 32;
                                                        ++l) {
      u32 r = bits >> l & 1 ? b[l] : a[l];
      dh[l] = on[l] ? r : dh[l];
    }
  }
  return i + 1;
}
#define CARRY(NAME, SUM)                                                       \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u32 t0[2 * LANES], t1[2 * LANES], bits[LANES], *d = w->v[i->dst];          \
    const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1);              \
    u64 in = i->src[2].kind == OPERAND_NONE ? 0 : scalar64(w, &i->src[2]);     \
    FOR_LANES {                                                                \
      u64 x0 = p0[l], x1 = p1[l], c = in >> l & 1, r = SUM;                    \
      bits[l] = (u32)(r >> 32) & 1;                                            \
      d[l] = w->on[l] ? (u32)r : d[l];                                         \
    }                                                                          \
    put_pair(w, i->sdst, pack_lanes(bits) & w->exec);                          \
    return i + 1;                                                              \
  }
#define CARRIES(X)                                                             \
  X(v_add_co_u32, x0 + x1 + c)                                                 \
  X(v_addc_co_u32, x0 + x1 + c) X(v_sub_co_u32, x0 - x1 - c)                   \
      X(v_subb_co_u32, x0 - x1 - c) X(v_subrev_co_u32, x1 - x0 - c)            \
          X(v_subbrev_co_u32, x1 - x0 - c)
CARRIES(CARRY)
static const Inst *run_v_mad_u64_u32(Wave *w, const Inst *i) {
  u32 t0[2 * LANES], t1[2 * LANES], t2[2 * LANES], *d = w->v[i->dst];
  const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1),
            *p2 = fetch(w, i, 2, t2);
  u64 carry = 0;
  EACH_LANE {
    u128 r = (u128)p0[l] * p1[l] + WIDE(p2);
    carry |= (u64)(r >> 64 & 1) << l;
    WRITE2((u64)r, !w->on[l]);
  }
  put_pair(w, i->sdst, carry & w->exec);
  return i + 1;
}
static const Inst *run_v_mad_i64_i32(Wave *w, const Inst *i) {
  u32 t0[2 * LANES], t1[2 * LANES], t2[2 * LANES], *d = w->v[i->dst];
  const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1),
            *p2 = fetch(w, i, 2, t2);
  u64 carry = 0;
  EACH_LANE {
    i128 r = (i128)(i32)p0[l] * (i32)p1[l] + (i64)WIDE(p2);
    carry |= (u64)(r >> 64 & 1) << l;
    WRITE2((u64)r, !w->on[l]);
  }
  put_pair(w, i->sdst, carry & w->exec);
  return i + 1;
}
static const Inst *run_v_div_scale_f32(Wave *w, const Inst *i) {
  u32 t0[2 * LANES], t1[2 * LANES], t2[2 * LANES], *d = w->v[i->dst];
  const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1),
            *p2 = fetch(w, i, 2, t2);
  u64 scaled = 0;
  EACH_LANE if (is_on(w, l)) {
    bool vcc;
    d[l] = div_scale(as_f32(p0[l]), as_f32(p1[l]), as_f32(p2[l]), &vcc);
    scaled |= (u64)vcc << l;
  }
  put_pair(w, i->sdst, scaled);
  return i + 1;
}
static const Inst *run_v_div_fmas_f32(Wave *w, const Inst *i) {
  u32 t0[2 * LANES], t1[2 * LANES], t2[2 * LANES], *d = w->v[i->dst];
  const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1),
            *p2 = fetch(w, i, 2, t2);
  u64 vcc = get_pair(w, SGPR_VCC);
  EACH_LANE if (is_on(w, l)) {
    float r = fmaf(as_f32(p0[l]), as_f32(p1[l]), as_f32(p2[l]));
    if (vcc >> l & 1)
      r = exponent(as_f32(p2[l])) > 127 ? ldexpf(r, 64) : ldexpf(r, -64);
    d[l] = f32_bits(r);
  }
  return i + 1;
}
static const Inst *run_v_bitop3_b32(Wave *w,
                                    const Inst *i) { // imm: truth table
  u32 t0[2 * LANES], t1[2 * LANES], t2[2 * LANES], *d = w->v[i->dst];
  const u32 *p0 = fetch(w, i, 0, t0), *p1 = fetch(w, i, 1, t1),
            *p2 = fetch(w, i, 2, t2);
  u32 term[8];
  for (int k = 0; k < 8; ++k)
    term[k] = i->imm >> k & 1 ? ~0u : 0;
  FOR_LANES {
    u32 a = p0[l], b = p1[l], c = p2[l], r = 0;
    r |= (~a & ~b & ~c & term[0]) | (~a & ~b & c & term[1]) |
         (~a & b & ~c & term[2]) | (~a & b & c & term[3]);
    r |= (a & ~b & ~c & term[4]) | (a & ~b & c & term[5]) |
         (a & b & ~c & term[6]) | (a & b & c & term[7]);
    d[l] = w->on[l] ? r : d[l];
  }
  return i + 1;
}

static const Inst *run_v_bitop3_b16(Wave *w,
                                    const Inst *i) { // the upper half is kept
  u32 *d = w->v[i->dst], old[LANES];
  memcpy(old, d, sizeof(old));
  run_v_bitop3_b32(w, i);
  FOR_LANES d[l] = (old[l] & 0xffff0000u) | (d[l] & 0xffff);
  return i + 1;
}

// Sources of f32 or f16. imm: for source k, bit k picks the upper half, 4 + k
// says that it is f16, 8 + k negates it, 12 + k takes the magnitude first.
static float mixed_source(const Inst *i, int k, u32 x) {
  float f = !(i->imm >> (4 + k) & 1)
                ? as_f32(x)
                : (float)as_f16(i->imm >> k & 1 ? x >> 16 : x);
  f = i->imm >> (12 + k) & 1 ? __builtin_fabsf(f) : f;
  return i->imm >> (8 + k) & 1 ? -f : f;
}
static void fma_mix(Wave *w, const Inst *i, float *r) {
  u32 t[3][2 * LANES];
  const u32 *p0 = fetch(w, i, 0, t[0]), *p1 = fetch(w, i, 1, t[1]),
            *p2 = fetch(w, i, 2, t[2]);
  EACH_LANE r[l] =
      __builtin_fmaf(mixed_source(i, 0, p0[l]), mixed_source(i, 1, p1[l]),
                     mixed_source(i, 2, p2[l]));
}
static const Inst *run_v_fma_mix_f32(Wave *w, const Inst *i) {
  float r[LANES];
  u32 *d = w->v[i->dst];
  fma_mix(w, i, r);
  FOR_LANES d[l] = w->on[l] ? f32_bits(r[l]) : d[l];
  return i + 1;
}
static const Inst *run_v_fma_mixlo_f16(Wave *w, const Inst *i) {
  float r[LANES];
  u32 *d = w->v[i->dst];
  fma_mix(w, i, r);
  EACH_LANE d[l] = w->on[l] ? (d[l] & 0xffff0000u) | f16_bits((f16)r[l]) : d[l];
  return i + 1;
}
static const Inst *run_v_fma_mixhi_f16(Wave *w, const Inst *i) {
  float r[LANES];
  u32 *d = w->v[i->dst];
  fma_mix(w, i, r);
  EACH_LANE d[l] =
      w->on[l] ? (d[l] & 0xffff) | f16_bits((f16)r[l]) << 16 : d[l];
  return i + 1;
}

// ---- packed instructions ----
// imm: for source k, bit k is op_sel, 4 + k op_sel_hi, 8 + k neg_lo, 12 + k
// neg_hi.
static const u32 *packed_word(Wave *w, const Inst *i, int k, bool high,
                              u32 *tmp) {
  const Operand *o = &i->src[k];
  bool upper = i->imm >> (high ? 4 + k : k) & 1,
       negate = i->imm >> (high ? 12 + k : 8 + k) & 1;
  const u32 *row;
  if (o->kind == OPERAND_ROW) {
    row = w->v[o->reg + upper];
  } else {
    u32 x = o->kind == OPERAND_SGPR ? w->s[o->reg + upper]
            : upper                 ? (u32)(o->value >> 32)
                                    : (u32)o->value;
    broadcast(tmp, x);
    row = tmp;
  }
  if (negate) {
    FOR_LANES tmp[l] = row[l] ^ 0x80000000u;
    row = tmp;
  }
  return row;
}
#define PACKED_F32(NAME, N, E)                                                 \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u32 t[3][LANES], r[2][LANES], *d = w->v[i->dst];                           \
    for (int h = 0; h < 2; ++h) {                                              \
      const u32 *p0 = packed_word(w, i, 0, h, t[0]),                           \
                *p1 = packed_word(w, i, 1, h, t[1]);                           \
      const u32 *p2 = N > 2 ? packed_word(w, i, 2, h, t[2]) : p0;              \
      FOR_LANES {                                                              \
        float x0 = as_f32(p0[l]), x1 = as_f32(p1[l]), x2 = as_f32(p2[l]);      \
        (void)x2;                                                              \
        r[h][l] = f32_bits(E);                                                 \
      }                                                                        \
    }                                                                          \
    FOR_LANES {                                                                \
      d[l] = w->on[l] ? r[0][l] : d[l];                                        \
      d[LANES + l] = w->on[l] ? r[1][l] : d[LANES + l];                        \
    }                                                                          \
    return i + 1;                                                              \
  }
PACKED_F32(v_pk_fma_f32, 3, __builtin_fmaf(x0, x1, x2))
PACKED_F32(v_pk_mul_f32, 2, x0 *x1)
PACKED_F32(v_pk_add_f32, 2, x0 + x1)
static const Inst *
run_v_pk_mov_b32(Wave *w, const Inst *i) { // op_sel picks a word of each source
  u32 t[2][LANES], *d = w->v[i->dst];
  const u32 *p0 = packed_word(w, i, 0, false, t[0]),
            *p1 = packed_word(w, i, 1, false, t[1]);
  u32 second[LANES];
  memcpy(second, p1, sizeof(second));
  FOR_LANES {
    d[l] = w->on[l] ? p0[l] : d[l];
    d[LANES + l] = w->on[l] ? second[l] : d[LANES + l];
  }
  return i + 1;
}
static inline u32 packed_half(const Inst *i, int k, bool high, u32 x,
                              bool is_float) {
  u32 r = i->imm >> (high ? 4 + k : k) & 1 ? x >> 16 : x & 0xffff;
  return is_float && i->imm >> (high ? 12 + k : 8 + k) & 1 ? r ^ 0x8000 : r;
}
#define PACKED_16(NAME, N, T, IS_FLOAT, TO, FROM, E)                           \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u32 t[3][2 * LANES], *d = w->v[i->dst];                                    \
    const u32 *p0 = fetch(w, i, 0, t[0]), *p1 = fetch(w, i, 1, t[1]);          \
    const u32 *p2 = N > 2 ? fetch(w, i, 2, t[2]) : p0;                         \
    EACH_LANE {                                                                \
      u32 r = 0;                                                               \
      for (int h = 0; h < 2; ++h) {                                            \
        T x0 = TO(packed_half(i, 0, h, p0[l], IS_FLOAT)),                      \
          x1 = TO(packed_half(i, 1, h, p1[l], IS_FLOAT));                      \
        T x2 = TO(packed_half(i, 2, h, p2[l], IS_FLOAT));                      \
        (void)x2;                                                              \
        r |= (u32)(u16)FROM(E) << (16 * h);                                    \
      }                                                                        \
      d[l] = w->on[l] ? r : d[l];                                              \
    }                                                                          \
    return i + 1;                                                              \
  }
#define HALF(x) ((float)as_f16(x))
#define HALF_BITS(x) f16_bits((f16)(x))
#define UNSIGNED(x) ((u16)(x))
#define SIGNED(x) ((i16)(x))
#define PACKED(X)                                                              \
  X(v_pk_add_f16, 2, float, true, HALF, HALF_BITS, x0 + x1)                    \
  X(v_pk_mul_f16, 2, float, true, HALF, HALF_BITS, x0 *x1)                     \
  X(v_pk_fma_f16, 3, float, true, HALF, HALF_BITS,                             \
    (double)x0 *(double)x1 + (double)x2)                                       \
  X(v_pk_max_f16, 2, float, true, HALF, HALF_BITS, max_f32(x0, x1))            \
  X(v_pk_min_f16, 2, float, true, HALF, HALF_BITS, min_f32(x0, x1))            \
  X(v_pk_add_u16, 2, u32, false, UNSIGNED, UNSIGNED, x0 + x1)                  \
  X(v_pk_sub_u16, 2, u32, false, UNSIGNED, UNSIGNED, x0 - x1)                  \
  X(v_pk_add_i16, 2, i32, false, SIGNED, SIGNED, x0 + x1)                      \
  X(v_pk_sub_i16, 2, i32, false, SIGNED, SIGNED, x0 - x1)                      \
  X(v_pk_mul_lo_u16, 2, u32, false, UNSIGNED, UNSIGNED, x0 *x1)                \
  X(v_pk_mad_u16, 3, u32, false, UNSIGNED, UNSIGNED, x0 *x1 + x2)              \
  X(v_pk_mad_i16, 3, i32, false, SIGNED, SIGNED, x0 *x1 + x2)                  \
  X(v_pk_max_u16, 2, u32, false, UNSIGNED, UNSIGNED, max_u32(x0, x1))          \
  X(v_pk_min_u16, 2, u32, false, UNSIGNED, UNSIGNED, min_u32(x0, x1))          \
  X(v_pk_max_i16, 2, i32, false, SIGNED, SIGNED, max_i32(x0, x1))              \
  X(v_pk_min_i16, 2, i32, false, SIGNED, SIGNED, min_i32(x0, x1))              \
  X(v_pk_lshlrev_b16, 2, u32, false, UNSIGNED, UNSIGNED, x1 << (x0 & 15))      \
  X(v_pk_lshrrev_b16, 2, u32, false, UNSIGNED, UNSIGNED, x1 >> (x0 & 15))      \
  X(v_pk_ashrrev_i16, 2, i32, false, SIGNED, SIGNED, x1 >> (x0 & 15))
PACKED(PACKED_16)

// ---- between lanes and SGPRs ----
static inline int first_lane(const Wave *w) {
  return w->exec ? __builtin_ctzll(w->exec) : 0;
}
static const Inst *run_v_readfirstlane_b32(Wave *w, const Inst *i) {
  w->s[i->dst] = i->src[0].kind == OPERAND_ROW
                     ? w->v[i->src[0].reg][first_lane(w)]
                     : scalar32(w, &i->src[0]);
  return i + 1;
}
static const Inst *run_v_readlane_b32(Wave *w, const Inst *i) {
  w->s[i->dst] = w->v[i->src[0].reg][scalar32(w, &i->src[1]) & 63];
  return i + 1;
}
static const Inst *run_v_writelane_b32(Wave *w, const Inst *i) {
  w->v[i->dst][scalar32(w, &i->src[1]) & 63] = scalar32(w, &i->src[0]);
  return i + 1;
}
static const Inst *run_v_swap_b32(Wave *w, const Inst *i) {
  u32 *a = w->v[i->dst], *b = w->v[i->src[0].reg];
  EACH_LANE if (is_on(w, l)) {
    u32 t = a[l];
    a[l] = b[l];
    b[l] = t;
  }
  return i + 1;
}
// v_mov_b32 between s_set_gpr_idx_on and _off. imm: 1 indexes the source, 8 the
// destination.
static const Inst *run_x_mov_indexed(Wave *w, const Inst *i) {
  u32 t0[2 * LANES], from = i->imm & 1 ? w->gpr_index : 0,
                     to = i->dst + (i->imm & 8 ? w->gpr_index : 0);
  u32 reg = i->src[0].reg + from;
  if (to >= ROW_AGPR || (from && reg >= ROW_AGPR)) {
    raise_error(w, i, ERROR_UNKNOWN, 0, 0, -1, 0);
    return stop(w, i, STOP_ERROR);
  }
  const u32 *p0 =
      i->src[0].kind == OPERAND_ROW ? w->v[reg] : fetch(w, i, 0, t0);
  u32 *d = w->v[to];
  FOR_LANES d[l] = w->on[l] ? p0[l] : d[l];
  return i + 1;
}
static const Inst *run_s_set_gpr_idx(Wave *w, const Inst *i) {
  w->gpr_index = scalar32(w, &i->src[0]) & 255;
  return i + 1;
}
// Swaps the upper half of each block of the first register with the lower
// half of the second; imm is the length of a half: 16 or 32 lanes.
static const Inst *run_v_permlane_swap(Wave *w, const Inst *i) {
  u32 *a = w->v[i->dst], *b = w->v[i->src[0].reg];
  int half = (int)i->imm;
  EACH_LANE if (!(l & half) && is_on(w, l) && is_on(w, l + half)) {
    u32 t = a[l + half];
    a[l + half] = b[l];
    b[l] = t;
  }
  return i + 1;
}

// ---- micro-instructions ----
// DPP, first step: the permuted source goes to ROW_DPP, and exec is narrowed
// to the lanes that the instruction may write. imm: table, bit 31 bound_ctrl.
static const Inst *run_x_dpp(Wave *w, const Inst *i) {
  ++w->extra;
  u32 t0[2 * LANES], *d = w->v[ROW_DPP];
  const u32 *p0 = fetch(w, i, 0, t0);
  const u8 *perm = w->machine->perms + (i->imm & 0xffff) * LANES;
  bool bound = i->imm >> 31;
  u64 valid = 0;
  EACH_LANE {
    bool ok = (i->mask[0] >> l & 1) && is_on(w, perm[l]);
    d[l] = ok ? p0[perm[l]] : 0;
    valid |= (u64)ok << l;
  }
  w->saved_exec = w->exec;
  set_exec(w, w->exec & i->mask[1] & (bound ? ~0ull : valid));
  return i + 1;
}
static const Inst *run_x_restore_exec(Wave *w, const Inst *i) {
  ++w->extra;
  set_exec(w, w->saved_exec);
  return i + 1;
}
// SDWA and op_sel, last step: merges ROW_SCRATCH into part of a register.
// imm: bits of the part, shift << 8, 1 << 16 when the rest is kept.
static const Inst *run_x_merge(Wave *w, const Inst *i) {
  ++w->extra;
  u32 *d = w->v[i->dst], *r = w->v[ROW_SCRATCH];
  u32 bits = i->imm & 255, shift = i->imm >> 8 & 255,
      part = ((1u << bits) - 1) << shift;
  u32 keep = i->imm >> 16 & 1 ? ~part : 0;
  FOR_LANES d[l] = w->on[l] ? (d[l] & keep) | (r[l] << shift & part) : d[l];
  return i + 1;
}
// Output modifiers of f32 results. imm: 1 clamp, 2 times 2, 4 times 4, 8 half.
static const Inst *run_x_output_f32(Wave *w, const Inst *i) {
  ++w->extra;
  u32 *d = w->v[i->dst];
  float scale = i->imm & 2   ? 2.0f
                : i->imm & 4 ? 4.0f
                : i->imm & 8 ? 0.5f
                             : 1.0f;
  FOR_LANES {
    float x = as_f32(d[l]) * scale;
    x = i->imm & 1 ? saturate(x) : x;
    d[l] = w->on[l] ? f32_bits(x) : d[l];
  }
  return i + 1;
}
// An instruction with an SGPR as its destination wrote exec.
static const Inst *run_x_sync_exec(Wave *w, const Inst *i) {
  ++w->extra;
  set_exec(w, get_pair(w, SGPR_EXEC));
  return i + 1;
}

#undef VALU1
#undef VALU2
#undef VALU3
#undef VALU1S
#undef VALU2S
#undef VALU3S
#undef COMPARE
#undef CARRY
#undef PACKED_16
#define VALU1(NAME, D, A, E) {#NAME, run_##NAME, #D "=" #A},
#define VALU2(NAME, D, A, B, E) {#NAME, run_##NAME, #D "=" #A #B},
#define VALU3(NAME, D, A, B, C, E) {#NAME, run_##NAME, #D "=" #A #B #C},
#define VALU1S VALU1
#define VALU2S VALU2
#define VALU3S VALU3
#define COMPARE(NAME, T, E) {#NAME, run_##NAME, "M=" #T #T},
#define CARRY(NAME, E) {#NAME, run_##NAME, "UM=UUM"},
#define PACKED_16(NAME, N, T, F, TO, FROM, E)                                  \
  {#NAME, run_##NAME, N > 2 ? (F ? "P=PPP" : "K=KKK") : (F ? "P=PP" : "K=KK")},
const Opcode valu_opcodes[] = {
#include "valu.def"
    VALU2(v_add_u32_clamp, U, U, U, 0) VALU2(v_sub_u32_clamp, U, U, U, 0)
        COMPARES(COMPARE) CARRIES(CARRY)
            PACKED(PACKED_16){"v_cmp_class_f32", run_v_cmp_class_f32, "M=FU"},
    {"v_cndmask_b32", run_v_cndmask_b32, "U=FFM"},
    {"v_mad_u64_u32", run_v_mad_u64_u32, "QM=UUQ"},
    {"v_mad_i64_i32", run_v_mad_i64_i32, "QM=UUQ"},
    {"v_div_scale_f32", run_v_div_scale_f32, "FM=FFF"},
    {"v_div_fmas_f32", run_v_div_fmas_f32, "F=FFF"},
    {"v_bitop3_b32", run_v_bitop3_b32, "U=UUU"},
    {"v_fma_mix_f32", run_v_fma_mix_f32, "F=FFF"},
    {"v_fma_mixlo_f16", run_v_fma_mixlo_f16, "H=FFF"},
    {"v_fma_mixhi_f16", run_v_fma_mixhi_f16, "H=FFF"},
    {"v_bitop3_b16", run_v_bitop3_b16, "U=UUU"},
    {"x_mov_indexed", run_x_mov_indexed, "U=U"},
    {"s_set_gpr_idx_on", run_s_set_gpr_idx, "=U"},
    {"s_set_gpr_idx_idx", run_s_set_gpr_idx, "=U"},
    {"v_pk_fma_f32", run_v_pk_fma_f32, "Z=ZZZ"},
    {"v_pk_mul_f32", run_v_pk_mul_f32, "Z=ZZ"},
    {"v_pk_add_f32", run_v_pk_add_f32, "Z=ZZ"},
    {"v_pk_mov_b32", run_v_pk_mov_b32, "Z=ZZ"},
    {"v_readfirstlane_b32", run_v_readfirstlane_b32, "u=U"},
    {"v_readlane_b32", run_v_readlane_b32, "u=UU"},
    {"v_writelane_b32", run_v_writelane_b32, "U=UU"},
    {"v_swap_b32", run_v_swap_b32, "U=U"},
    {"v_permlane16_swap_b32", run_v_permlane_swap, "U=U"},
    {"v_permlane32_swap_b32", run_v_permlane_swap, "U=U"},
    {"x_dpp", run_x_dpp, "U=U"},
    {"x_restore_exec", run_x_restore_exec, ""},
    {"x_merge", run_x_merge, "U="},
    {"x_output_f32", run_x_output_f32, "F="},
    {"x_sync_exec", run_x_sync_exec, ""},
    {NULL, NULL, NULL},
};
