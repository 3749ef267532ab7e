// RUN: fleet-opt %s --split-input-file --verify-diagnostics --pass-pipeline="builtin.module(gpu.module(fleet-amdgpu-check-ring))"

// Three slots, tiles of two rounds: each asks for one that comes three rounds later, whatever the number of tiles.
gpu.module @fleet {
  func.func @good(%ring: memref<3x64x8xbf16>, %w: memref<64xi8>, %hi: index) attributes {fleet.ring_head = 2 : i64} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c3 = arith.constant 3 : index
    scf.for %i = %c0 to %hi step %c1 {
      %twice = arith.muli %i, %c2 : index
      scf.for %r = %c0 to %c2 step %c1 {
        %n = arith.addi %twice, %r : index
        %slot = arith.remui %n, %c3 : index
        %ahead = arith.addi %n, %c2 : index
        %free = arith.remui %ahead, %c3 : index
        fleet.ring_wait 1
        %0 = fleet.ring_read %ring[%slot] : memref<3x64x8xbf16>, vector<8xbf16>
        fleet.ring_ask %ring[%free] from %w[%c0] : memref<3x64x8xbf16>, memref<64xi8>
      }
    }
    // What was asked for beyond the last tile: two slots, which depend on the number of tiles.
    %all = arith.muli %hi, %c2 : index
    %a = arith.remui %all, %c3 : index
    %next = arith.addi %all, %c1 : index
    %b = arith.remui %next, %c3 : index
    fleet.ring_wait 0
    %1 = fleet.ring_read %ring[%a] : memref<3x64x8xbf16>, vector<8xbf16>
    %2 = fleet.ring_read %ring[%b] : memref<3x64x8xbf16>, vector<8xbf16>
    return
  }
}

// -----

// A slot that is asked for again before it was read.
gpu.module @fleet {
  func.func @overwritten(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>) {
    %c0 = arith.constant 0 : index
    fleet.ring_ask %ring[%c0] from %w[%c0] : memref<2x64x8xbf16>, memref<64xi8>
    fleet.ring_wait 0
    // expected-error @+1 {{expected a slot that has been read, found slot 0 still in use}}
    fleet.ring_ask %ring[%c0] from %w[%c0] : memref<2x64x8xbf16>, memref<64xi8>
    return
  }
}

// -----

// A slot count that is shifted: the fourth round asks for the slot of the third.
gpu.module @fleet {
  func.func @shifted(%ring: memref<3x64x8xbf16>, %w: memref<64xi8>) attributes {fleet.ring_head = 3 : i64} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c3 = arith.constant 3 : index
    %c4 = arith.constant 4 : index
    scf.for %r = %c0 to %c4 step %c1 {
      %slot = arith.remui %r, %c3 : index
      %other = arith.addi %r, %c1 : index
      %next = arith.remui %other, %c3 : index
      fleet.ring_wait 2
      %0 = fleet.ring_read %ring[%slot] : memref<3x64x8xbf16>, vector<8xbf16>
      // expected-error @+1 {{expected a slot that has been read, found slot 1 still in use}}
      fleet.ring_ask %ring[%next] from %w[%c0] : memref<3x64x8xbf16>, memref<64xi8>
    }
    return
  }
}

// -----

// A wait for one too few.
gpu.module @fleet {
  func.func @early(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>) attributes {fleet.ring_head = 2 : i64} {
    %c1 = arith.constant 1 : index
    fleet.ring_wait 1
    // expected-error @+1 {{expected a slot that has been waited for, found slot 1 still on its way}}
    %0 = fleet.ring_read %ring[%c1] : memref<2x64x8xbf16>, vector<8xbf16>
    return
  }
}

// -----

// Right for one tile, wrong for two: the second tile begins where the first did.
gpu.module @fleet {
  func.func @second_tile(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>, %hi: index) attributes {fleet.ring_head = 1 : i64} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    scf.for %i = %c0 to %hi step %c1 {
      %more = arith.addi %i, %c1 : index
      %goes = arith.cmpi slt, %more, %hi : index
      fleet.ring_wait 0
      // expected-error @+1 {{expected a slot that has been waited for, found slot 0 still on its way}}
      %0 = fleet.ring_read %ring[%c0] : memref<2x64x8xbf16>, vector<8xbf16>
      scf.if %goes {
        fleet.ring_ask %ring[%c1] from %w[%c0] : memref<2x64x8xbf16>, memref<64xi8>
      }
    }
    return
  }
}

// -----

gpu.module @fleet {
  // expected-error @+1 {{expected all slots of the ring to be free at the end, found slot 1 in use}}
  func.func @left(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>) attributes {fleet.ring_head = 2 : i64} {
    %c0 = arith.constant 0 : index
    fleet.ring_wait 0
    %0 = fleet.ring_read %ring[%c0] : memref<2x64x8xbf16>, vector<8xbf16>
    return
  }
}

// -----

gpu.module @fleet {
  func.func @outside(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>) {
    %c0 = arith.constant 0 : index
    %c2 = arith.constant 2 : index
    // expected-error @+1 {{expected one of 2 slots, found slot 2}}
    fleet.ring_ask %ring[%c2] from %w[%c0] : memref<2x64x8xbf16>, memref<64xi8>
    return
  }
}

// -----

gpu.module @fleet {
  func.func @unknown(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>, %slot: index) {
    %c0 = arith.constant 0 : index
    // expected-error @+1 {{expected a slot that follows from the number of tiles, found another}}
    fleet.ring_ask %ring[%slot] from %w[%c0] : memref<2x64x8xbf16>, memref<64xi8>
    return
  }
}

// -----

gpu.module @fleet {
  func.func @condition(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>, %maybe: i1) {
    %c0 = arith.constant 0 : index
    // expected-error @+1 {{expected a condition that follows from the number of tiles, found another}}
    scf.if %maybe {
      fleet.ring_ask %ring[%c0] from %w[%c0] : memref<2x64x8xbf16>, memref<64xi8>
    }
    return
  }
}

// -----

gpu.module @fleet {
  func.func @loop(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>, %n: index) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    scf.for %i = %c0 to %c2 step %c1 {
      // expected-error @+1 {{expected a loop of known length around what asks for weights, found another}}
      scf.for %j = %c0 to %n step %c1 {
        fleet.ring_wait 0
      }
    }
    return
  }
}

// -----

gpu.module @fleet {
  func.func @operation(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>, %n: index) {
    // expected-error @+1 {{expected loops and conditions around what asks for weights, found another operation}}
    scf.index_switch %n
    case 0 {
      fleet.ring_wait 0
      scf.yield
    }
    default {
    }
    return
  }
}

// -----

// The walk asks for more than the body reads.
gpu.module @fleet {
  memref.global "private" constant @streams : memref<1x3xi32> = dense<[[4, 8, 2]]>
  // expected-error @+1 {{expected the walk to ask for 1 slots, found 2}}
  func.func @body(%ring: memref<2x64x8xbf16>) attributes {fleet.ring_head = 1 : i64} {
    %c0 = arith.constant 0 : index
    fleet.ring_wait 0
    %0 = fleet.ring_read %ring[%c0] : memref<2x64x8xbf16>, vector<8xbf16>
    return
  }
  func.func @dispatch(%ring: memref<2x64x8xbf16>, %kind: index) {
    scf.index_switch %kind
    case 0 {
      func.call @body(%ring) : (memref<2x64x8xbf16>) -> ()
      scf.yield
    }
    default {
    }
    return
  }
  gpu.func @fleet_step(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>, %n: index) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    scf.for %slot = %c0 to %n step %c1 {
      fleet.ring_ask %ring[%slot] from %w[%c0] : memref<2x64x8xbf16>, memref<64xi8>
    }
    gpu.return
  }
}

// -----

gpu.module @fleet {
  gpu.func @fleet_step(%ring: memref<2x64x8xbf16>, %w: memref<64xi8>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // expected-error @+1 {{expected the walk to ask for slots from 0 on in a loop, found another slot}}
    fleet.ring_ask %ring[%c1] from %w[%c0] : memref<2x64x8xbf16>, memref<64xi8>
    gpu.return
  }
}
