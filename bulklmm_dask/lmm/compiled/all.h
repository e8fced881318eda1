/* All loops, for one set of instructions: TARGET, with IN for the names. */

#include "logs.h"
#include "lods.h"
#include "pairs.h"
#include "peaks.h"
#include "fits.h"
#include "climb.h"

#define TYPE double
#define PLACE int64_t
#define GRID IN(grid_of_doubles)
#define LOG_OF_LEFT IN(log_of_left)
#include "grid.h"
#undef TYPE
#undef PLACE
#undef GRID
#undef LOG_OF_LEFT

#define TYPE float
#define PLACE int32_t
#define GRID IN(grid_of_floats)
#define LOG_OF_LEFT IN(log_of_leftf)
#include "grid.h"
#undef TYPE
#undef PLACE
#undef GRID
#undef LOG_OF_LEFT
