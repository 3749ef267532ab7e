// Matrix instructions on one block: D = A * B + C with A NxK, B KxN.
//
// Layout (64 lanes, G = 64 / N groups of lanes, P = K / G values a lane):
// lane l holds A[l % N][P * (l / N) + p] and B[P * (l / N) + p][l % N]; result
// register r of lane l is row 8 * (r / 4) + 4 * (l / 32) + r % 4 of a 32x32
// block and row 4 * (l / 16) + r of a 16x16 block, column l % N. A row of the
// result is therefore contiguous in one register, and C is updated in place.
#include "core.h"
#include "table.h"

float fp8_value(u32 x);
float bf8_value(u32 x);

typedef float Floats __attribute__((ext_vector_type(16)));
typedef i32 Ints __attribute__((ext_vector_type(16)));

#define INLINE static inline __attribute__((always_inline))
// Value p of all lanes of an operand.
INLINE void values_bf16(float *to, const u32 (*r)[LANES], int p) {
  const u32 *x = r[p / 2];
  if (p & 1)
    FOR_LANES to[l] = as_f32(x[l] & 0xffff0000u);
  else
    FOR_LANES to[l] = as_f32(x[l] << 16);
}
INLINE void values_f16(float *to, const u32 (*r)[LANES], int p) {
  const u32 *x = r[p / 2];
  FOR_LANES to[l] = (float)as_f16(x[l] >> (16 * (p & 1)));
}
INLINE void values_f32(float *to, const u32 (*r)[LANES], int p) {
  memcpy(to, r[p], 4 * LANES);
}
INLINE void values_fp8(float *to, const u32 (*r)[LANES], int p) {
  EACH_LANE to[l] = fp8_value(r[p / 4][l] >> (8 * (p & 3)));
}
INLINE void values_bf8(float *to, const u32 (*r)[LANES], int p) {
  EACH_LANE to[l] = bf8_value(r[p / 4][l] >> (8 * (p & 3)));
}
INLINE void values_i8(i32 *to, const u32 (*r)[LANES], int p) {
  FOR_LANES to[l] = (i8)(r[p / 4][l] >> (8 * (p & 3)));
}

// imm is 1 when C is a constant (in src[2].value), not registers.
#define MATRIX(NAME, N, K, TYPE, VECTOR, A_VALUES, B_VALUES, ACCUMULATE)       \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    enum { G = 64 / N, P = K / G, V = N / 16, STEP = 4 };                      \
    _Alignas(64) TYPE a[P][LANES], b[P][LANES];                                \
    const u32(*ra)[LANES] = (const u32(*)[LANES])w->v[i->src[0].reg];          \
    const u32(*rb)[LANES] = (const u32(*)[LANES])w->v[i->src[1].reg];          \
    u32(*d)[LANES] = w->v + i->dst;                                            \
    for (int p = 0; p < P; ++p) {                                              \
      A_VALUES(a[p], ra, p);                                                   \
      B_VALUES(b[p], rb, p);                                                   \
    }                                                                          \
    for (int m = 0; m < N; m += STEP) {                                        \
      VECTOR acc[STEP][V];                                                     \
      for (int s = 0; s < STEP; ++s)                                           \
        for (int v = 0; v < V; ++v) {                                          \
          if (i->imm) {                                                        \
            TYPE c;                                                            \
            u32 bits = (u32)i->src[2].value;                                   \
            memcpy(&c, &bits, 4);                                              \
            acc[s][v] = (VECTOR)c;                                             \
          } else {                                                             \
            int reg = N == 32 ? m / 8 * 4 + s : s,                             \
                at = N == 32 ? m / 4 % 2 * 32 : m / 4 * 16;                    \
            memcpy(&acc[s][v], &w->v[i->src[2].reg + reg][at + 16 * v], 64);   \
          }                                                                    \
        }                                                                      \
      for (int g = 0; g < G; ++g)                                              \
        for (int p = 0; p < P; ++p)                                            \
          for (int s = 0; s < STEP; ++s)                                       \
            for (int v = 0; v < V; ++v) {                                      \
              VECTOR x = (VECTOR)a[p][g * N + m + s], y;                       \
              memcpy(&y, &b[p][g * N + 16 * v], 64);                           \
              acc[s][v] = ACCUMULATE;                                          \
            }                                                                  \
      for (int s = 0; s < STEP; ++s)                                           \
        for (int v = 0; v < V; ++v) {                                          \
          int reg = N == 32 ? m / 8 * 4 + s : s,                               \
              at = N == 32 ? m / 4 % 2 * 32 : m / 4 * 16;                      \
          memcpy(&d[reg][at + 16 * v], &acc[s][v], 64);                        \
        }                                                                      \
    }                                                                          \
    ++w->machine->stats.mfma;                                                  \
    return i + 1;                                                              \
  }
// The products of 16-bit values are exact in f32, so a fused step rounds once,
// as a separate addition would.
#define FUSED __builtin_elementwise_fma(x, y, acc[s][v])
#define FLOATS(NAME, N, K, KIND)                                               \
  MATRIX(NAME, N, K, float, Floats, values_##KIND, values_##KIND, FUSED)
#define MIXED(NAME, N, K, A, B)                                                \
  MATRIX(NAME, N, K, float, Floats, values_##A, values_##B, FUSED)
#define INTS(NAME, N, K)                                                       \
  MATRIX(NAME, N, K, i32, Ints, values_i8, values_i8, acc[s][v] + x * y)
#define SHAPES                                                                 \
  FLOATS(v_mfma_f32_16x16x16_bf16, 16, 16, bf16)                               \
  FLOATS(v_mfma_f32_32x32x8_bf16, 32, 8,                                       \
         bf16) FLOATS(v_mfma_f32_16x16x32_bf16, 16, 32,                        \
                      bf16) FLOATS(v_mfma_f32_32x32x16_bf16, 32, 16, bf16)     \
      FLOATS(v_mfma_f32_16x16x16_f16, 16, 16,                                  \
             f16) FLOATS(v_mfma_f32_32x32x8_f16, 32, 8,                        \
                         f16) FLOATS(v_mfma_f32_16x16x32_f16, 16, 32, f16)     \
          FLOATS(v_mfma_f32_32x32x16_f16, 32, 16,                              \
                 f16) FLOATS(v_mfma_f32_16x16x4_f32, 16, 4,                    \
                             f32) FLOATS(v_mfma_f32_32x32x2_f32, 32, 2, f32)   \
              INTS(v_mfma_i32_16x16x32_i8, 16,                                 \
                   32) INTS(v_mfma_i32_32x32x16_i8, 32,                        \
                            16) INTS(v_mfma_i32_16x16x64_i8, 16,               \
                                     64) INTS(v_mfma_i32_32x32x32_i8, 32, 32)  \
                  MIXED(v_mfma_f32_16x16x32_fp8_fp8, 16, 32, fp8, fp8) MIXED(  \
                      v_mfma_f32_16x16x32_fp8_bf8, 16, 32, fp8, bf8)           \
                      MIXED(v_mfma_f32_16x16x32_bf8_fp8, 16, 32, bf8, fp8)     \
                          MIXED(v_mfma_f32_16x16x32_bf8_bf8, 16, 32, bf8, bf8) \
                              MIXED(v_mfma_f32_32x32x16_fp8_fp8, 32, 16, fp8,  \
                                    fp8) MIXED(v_mfma_f32_32x32x16_fp8_bf8,    \
                                               32, 16, fp8, bf8)               \
                                  MIXED(v_mfma_f32_32x32x16_bf8_fp8, 32, 16,   \
                                        bf8, fp8)                              \
                                      MIXED(v_mfma_f32_32x32x16_bf8_bf8, 32,   \
                                            16, bf8, bf8)
SHAPES

#undef FLOATS
#undef MIXED
#undef INTS
#define STRING(x) #x
#define TYPES(N, K, BITS) "matrix " STRING(N) " " STRING(K) " " STRING(BITS)
#define BITS_bf16 16
#define BITS_f16 16
#define BITS_f32 32
#define FLOATS(NAME, N, K, KIND) {#NAME, run_##NAME, TYPES_(N, K, BITS_##KIND)},
#define TYPES_(N, K, BITS) TYPES(N, K, BITS)
#define MIXED(NAME, N, K, A, B) {#NAME, run_##NAME, TYPES(N, K, 8)},
#define INTS(NAME, N, K) {#NAME, run_##NAME, TYPES(N, K, 8)},
const Opcode mfma_opcodes[] = {SHAPES{NULL, NULL, NULL}};
