// The opcode table: one row for each mnemonic, from which decode.py learns
// what the executor knows.
#ifndef FLEET_CDNA_TABLE_H
#define FLEET_CDNA_TABLE_H
#include "core.h"

typedef struct {
  const char *name;
  Handler run;
  // Types of results and sources, `results=sources`. F f32, D f64, H f16,
  // B bf16, U I W S 32- and 16-bit integers, Q J 64-bit ones, M a lane mask in
  // SGPRs, u an SGPR, P K two halves (float, integer), Z two f32 words.
  const char *types;
} Opcode;

extern const Opcode valu_opcodes[], salu_opcodes[], mfma_opcodes[],
    lds_opcodes[], access_opcodes[], flight_opcodes[];
#endif
