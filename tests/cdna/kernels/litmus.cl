// Message passing between two CUs, with each fence in or out by a define.
//
// Every workgroup warms its caches with the data of the message, unless COLD
// is defined. Then the
// first workgroup of chiplet `from` (by ticket) writes the message and raises
// a flag; the first other workgroup of chiplet `to` waits for the flag and
// copies what it sees. RELEASE and ACQUIRE are one of the instruction
// sequences below; FLAG_LOAD is how the flag is read.
#define TID __builtin_amdgcn_workitem_id_x()
#define XCC() (__builtin_amdgcn_s_getreg(20 | (3 << 11)))
#ifndef RELEASE
#define RELEASE ""
#endif
#ifndef ACQUIRE
#define ACQUIRE ""
#endif
#define DRAIN "s_waitcnt vmcnt(0)"
#define WBL2 "buffer_wbl2 sc1\ns_waitcnt vmcnt(0)"
#define WBL2_NOWAIT "buffer_wbl2 sc1"
#define INV_L1 "buffer_inv sc0"
#define INV_L2 "buffer_inv sc1"
#define DO(text) __asm__ volatile(text ::: "memory")

typedef __global atomic_uint *counter;
#define ADD(p) __opencl_atomic_fetch_add(p, 1u, __ATOMIC_RELAXED, __OPENCL_MEMORY_SCOPE_DEVICE)
#define READ(p) __opencl_atomic_load(p, __ATOMIC_RELAXED, __OPENCL_MEMORY_SCOPE_DEVICE)

// counters[0]: warmed; [32 * (1 + x)]: tickets of chiplet x; [1024]: the flag.
// out[0 .. 63]: what the reader saw; out[64]: its chiplet; out[65]: the writer's.
__attribute__((reqd_work_group_size(64, 1, 1))) kernel void
pass(counter counters, __global int *data, __global int *out, __global int *sink, int from, int to, int groups) {
  int t = TID;
#ifndef COLD
  sink[__builtin_amdgcn_workgroup_id_x() * 64 + t] = data[t];
#endif
  DO("s_waitcnt vmcnt(0)");
  uint xcc = XCC(), ticket = 0;
  if (t == 0) {
    ticket = ADD(counters + 32 * (1 + xcc));
    ADD(counters);
    while (READ(counters) < (uint)groups)
      __builtin_amdgcn_s_sleep(1);
  }
  ticket = __builtin_amdgcn_readfirstlane(ticket);
  if (xcc == (uint)from && ticket == 0) {
    data[t] = 1000 + t;
    DO(RELEASE);
    if (t == 0) {
      out[65] = xcc;
      ADD(counters + 1024);
    }
  } else if (xcc == (uint)to && ticket == (from == to ? 1u : 0u)) {
    while (READ(counters + 1024) == 0u)
      __builtin_amdgcn_s_sleep(1);
    DO(ACQUIRE);
    out[t] = data[t];
    if (t == 0)
      out[64] = xcc;
  }
}

// Two waves of one workgroup: message through LDS, the barrier in and
// s_waitcnt lgkmcnt(0) in or out.
__attribute__((reqd_work_group_size(128, 1, 1))) kernel void local_pass(__global int *out) {
  local int box[128];
  int t = TID;
  box[t] = -1;
  DO("s_waitcnt lgkmcnt(0)");
  DO("s_barrier");
  box[t] = t;
#ifndef NO_WAIT
  DO("s_waitcnt lgkmcnt(0)");
#endif
  DO("s_barrier");
  out[t] = box[127 - t];
}

// The same through global memory: one CU, so no fence at all is needed.
__attribute__((reqd_work_group_size(128, 1, 1))) kernel void group_pass(__global int *data, __global int *out) {
  int t = TID;
  out[t] = data[t];
  data[t] = 5 + t;
  DO("s_barrier");
  out[t] = data[127 - t];
}

// A store that nobody waits for is seen in the end.
__attribute__((reqd_work_group_size(64, 1, 1))) kernel void eventually(counter flag, __global int *out) {
  if (__builtin_amdgcn_workgroup_id_x() == 0) {
    if (TID == 0)
      __opencl_atomic_store(flag, 1u, __ATOMIC_RELAXED, __OPENCL_MEMORY_SCOPE_DEVICE);
    while (READ(flag + 64) == 0u)
      __builtin_amdgcn_s_sleep(1);
    out[TID] = 1;
  } else {
    while (READ(flag) == 0u)
      __builtin_amdgcn_s_sleep(1);
    if (TID == 0)
      ADD(flag + 64);
  }
}

// Workgroup 0 raises a flag at once; workgroup 1 works for long, in a way that
// others could see, and then looks at it without a wait.
__attribute__((reqd_work_group_size(64, 1, 1))) kernel void hurry(counter counters, __global int *out, int steps) {
  if (TID != 0)
    return;
  if (__builtin_amdgcn_workgroup_id_x() == 0) {
    ADD(counters);
    ADD(counters + 32);
    return;
  }
  for (int k = 0; k < steps; k++)
    ADD(counters + 64);
  out[0] = READ(counters);
  out[1] = READ(counters + 32);
}
