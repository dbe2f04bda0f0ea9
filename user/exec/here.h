/* SPDX-License-Identifier: Apache-2.0 */
/* here.h - which machine and which build this is. Thread-safe: no globals. */
#ifndef VT_EXEC_HERE_H
#define VT_EXEC_HERE_H

#include "profile/profile.h"

/** vt_profile_here - the key of this machine and build (user/exec knows XNNPACK and the ISA) */
void vt_profile_here(struct vt_profile_key *ret);

#endif
