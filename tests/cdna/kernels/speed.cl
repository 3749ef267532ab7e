// Loops for measuring the executor's speed.
#define TID __builtin_amdgcn_workitem_id_x()
// Chains of f32 and integer arithmetic: 16 vector instructions a turn.
__attribute__((reqd_work_group_size(256, 1, 1))) kernel void alu(__global float *o, int n) {
  int t = TID + __builtin_amdgcn_workgroup_id_x() * 256;
  float a = t, b = t + 1, c = 2, d = 3;
  uint x = t, y = t * 3 + 1;
  for (int i = 0; i < n; i++) {
    a = a * 1.0001f + b, b = b * 0.9999f + c, c = c * 0.5f + d, d = d * 0.25f + a;
    x ^= y << 3, y += x >> 5, x += 0x9e3779b9, y ^= x;
  }
  o[t] = a + b + c + d + (float)(x + y);
}
typedef float f16v __attribute__((ext_vector_type(16)));
typedef short s4 __attribute__((ext_vector_type(4)));
// Matrix instructions alone.
__attribute__((reqd_work_group_size(64, 1, 1))) kernel void matrix(__global float *o, int n) {
  s4 a = (short)(0x3f80 + TID), b = (short)(0x3f00 + TID);
  f16v c = 0, d = 1;
  for (int i = 0; i < n; i++) {
    c = __builtin_amdgcn_mfma_f32_32x32x8bf16_1k(a, b, c, 0, 0, 0);
    d = __builtin_amdgcn_mfma_f32_32x32x8bf16_1k(b, a, d, 0, 0, 0);
  }
  o[TID] = c[0] + d[5];
}
