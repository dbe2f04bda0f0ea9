// SPDX-License-Identifier: Apache-2.0
/*
 * here.c - which machine and which code this is, for the profile store. Times move to no other CPU,
 * and to no other build of XNNPACK or of our kernels.
 */
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "exec/here.h"
#include "kernels/isa.h"

#define ID_BYTES 6 /* of a build id: enough to tell builds apart, short enough to read */

extern const char vt_kernels_id[]; /* scripts/kernels-id.sh */

struct cpu {
	char vendor[13];
	unsigned int family, model, stepping;
};

static void read_cpu(struct cpu *ret)
{
	*ret = (struct cpu){.vendor = "unknown"};
#ifdef __x86_64__
	unsigned int a, b, c, d;

	if (!__get_cpuid(0, &a, &b, &c, &d))
		return;
	memcpy(ret->vendor, &b, 4);
	memcpy(ret->vendor + 4, &d, 4);
	memcpy(ret->vendor + 8, &c, 4);
	if (!__get_cpuid(1, &a, &b, &c, &d))
		return;
	ret->family = a >> 8 & 15;
	ret->model = a >> 4 & 15;
	ret->stepping = a & 15;
	if (ret->family == 6 || ret->family == 15)
		ret->model += (a >> 16 & 15) << 4;
	if (ret->family == 15)
		ret->family += a >> 20 & 255;
#endif
}

/* KiB of a cache as the C library reads it from the CPU, also where sysfs shows none. */
static long cache_kib(int name)
{
	long n = sysconf(name);

	return n > 0 ? n / 1024 : 0;
}

/* The GNU build id among the notes of a loaded object. */
static const unsigned char *build_id(const struct dl_phdr_info *o, size_t *len)
{
	for (int i = 0; i < o->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &o->dlpi_phdr[i];
		const unsigned char *at = (const unsigned char *)o->dlpi_addr + ph->p_vaddr,
				    *end = at + ph->p_memsz;

		if (ph->p_type != PT_NOTE || ph->p_align > 4)
			continue;
		while (at + sizeof(ElfW(Nhdr)) <= end) {
			const ElfW(Nhdr) *n = (const void *)at;
			const unsigned char *name = at + sizeof(*n),
					    *desc = name + ((n->n_namesz + 3u) & ~3u);

			if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
			    !memcmp(name, "GNU", 4)) {
				*len = n->n_descsz;
				return desc;
			}
			at = desc + ((n->n_descsz + 3u) & ~3u);
		}
	}
	return NULL;
}

static int find_xnnpack(struct dl_phdr_info *o, size_t size, void *arg)
{
	const char *name = strrchr(o->dlpi_name, '/');
	char *ret = arg;
	const unsigned char *id;
	size_t n = 0;

	name = name ? name + 1 : o->dlpi_name;
	if (strncmp(name, "libXNNPACK", 10) != 0)
		return 0;
	id = build_id(o, &n);
	for (size_t i = 0; id && i < n && i < ID_BYTES; i++)
		snprintf(ret + 2 * i, 3, "%02x", id[i]);
	return 1;
}

void vt_profile_here(struct vt_profile_key *ret)
{
	char xnnpack[2 * ID_BYTES + 1] = "unknown";
	struct cpu cpu;

	memset(ret, 0, sizeof(*ret));
	read_cpu(&cpu);
	snprintf(ret->machine, sizeof(ret->machine),
		 "%s family %u model %u stepping %u, %s, %ld cores, L2 %ld KiB, LLC %ld KiB",
		 cpu.vendor, cpu.family, cpu.model, cpu.stepping, vt_vec()->name,
		 sysconf(_SC_NPROCESSORS_ONLN), cache_kib(_SC_LEVEL2_CACHE_SIZE),
		 cache_kib(_SC_LEVEL3_CACHE_SIZE));
	dl_iterate_phdr(find_xnnpack, xnnpack);
	snprintf(ret->library, sizeof(ret->library), "xnnpack %s, kernels %.24s", xnnpack,
		 vt_kernels_id);
}
