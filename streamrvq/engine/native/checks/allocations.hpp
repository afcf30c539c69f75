// Engines whose memory runs out.
#pragma once

namespace checks {

// In how many ways of running out of memory an engine does something else than fail, or does not go on afterwards as if
// nothing had been. It takes this whole program's memory: nothing else may run meanwhile.
int wrong_without_memory();

}  // namespace checks
