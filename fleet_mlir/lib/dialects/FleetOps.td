include "fleet/IR/FleetOps.td"
