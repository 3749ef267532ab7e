// RUN: fleet-opt %s --fleet-set-schedule=switches=queues=even,partition=rows | FileCheck %s
// RUN: fleet-opt %s --fleet-set-schedule=switches=queues=even --fleet-set-schedule=switches=queues=auto | FileCheck %s --check-prefix=NONE
// RUN: not fleet-opt %s --fleet-set-schedule=switches=speed=full 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not fleet-opt %s --fleet-set-schedule=switches=order=random 2>&1 | FileCheck %s --check-prefix=VALUE

// CHECK: module attributes {fleet.schedule = {partition = "rows", queues = "even"}}
// What is the first value anyway is not written.
// NONE-NOT: fleet.schedule
// NAME: error: expected a switch among scheduler, chiplets, binding, partition, traversal, queues, order, prefetch, events, arena, found 'speed'
// VALUE: error: expected order to be auto or list or program, found 'random'
module {}
