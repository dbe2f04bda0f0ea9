// SPDX-License-Identifier: Apache-2.0
#include "monitor/priv.h"

#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

int vt_priv_drop(struct vt_err *e)
{
	static const cap_value_t wanted[] = {CAP_BPF, CAP_PERFMON};
	cap_value_t keep[2];
	cap_flag_value_t has;
	cap_t old = cap_get_proc(), kept = cap_init();
	int n = 0, err = 0;

	for (int i = 0; old && i < 2; i++)
		if (!cap_get_flag(old, wanted[i], CAP_PERMITTED, &has) && has == CAP_SET)
			keep[n++] = wanted[i];
	if (!old || !kept ||
	    (n && (cap_set_flag(kept, CAP_PERMITTED, n, keep, CAP_SET) ||
		   cap_set_flag(kept, CAP_EFFECTIVE, n, keep, CAP_SET))) ||
	    cap_set_proc(kept) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = vt_fail(e, -errno, "cannot drop privileges: %s", strerror(errno));
	cap_free(old);
	cap_free(kept);
	return err;
}
