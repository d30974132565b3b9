/* A driver library, libnvidia-ml.so.1, for a node whose GPUs do not exist.
 *
 * It plays what NVIDIA's device plugin asks of one: how many GPUs there are, how much memory they have, and how each
 * is cut by MIG.  All GPUs of the node are alike.  What is not here, the plugin does not call.
 *
 * The environment variable FAKE_GPUS says what to play, as numbers between semicolons:
 *
 *     GPUS MEMORY                              how many, and MiB of each
 *     ; PROFILE SLICES MEMORY INSTANCES        of a GPU that can be cut, once for each profile that it has: NVML's
 *                                              number of the profile, compute slices of an instance, its MiB, and
 *                                              how many instances there are on each GPU
 *
 * such as "8 40960; 0 1 4864 7; 2 3 19968 0" for eight A100, each cut into seven 1g.5gb.  A GPU that has profiles has
 * MIG switched on.
 *
 * A GPU instance and the compute instance that fills it are one thing here, and the same as the MIG device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TIMED_OUT = 10 };
enum { MOST_GPUS = 16, MOST_SLICES = 8, MOST_PROFILES = 32 };

typedef unsigned long long u64;

struct profile {
    unsigned number, slices;
    u64 mib;
    unsigned instances;
};

/* What NVML hands out as a device, a GPU instance and a compute instance. */
struct device {
    struct device *gpu;            /* of a MIG device, the GPU that it is on; of a GPU, nothing */
    unsigned index;                /* the GPU's, or the instance's on its GPU */
    const struct profile *profile; /* of a MIG device */
};

static struct profile profiles[MOST_PROFILES];
static struct device gpus[MOST_GPUS], instances[MOST_GPUS][MOST_SLICES];
static unsigned profile_count, gpu_count, instance_count;
static u64 gpu_mib;

/* The structures of NVML's interface, as far as they are filled in. */

struct memory { u64 total, free, used; };

struct pci {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
};

struct attributes {
    unsigned multiprocessors, shared_engines[5], gpu_slices, compute_slices;
    u64 mib;
};

struct gpu_instance_profile {
    unsigned id, peer_to_peer, slices, instances, multiprocessors, engines[5];
    u64 mib;
};

struct gpu_instance {
    struct device *gpu;
    unsigned id, profile, start, size;
};

struct compute_instance_profile { unsigned id, slices, instances, multiprocessors, shared_engines[5]; };

struct compute_instance {
    struct device *gpu, *gpu_instance;
    unsigned id, profile, start, size;
};

/* The id of a profile is not its number: the number is what one asks for, the id what instances carry. */
static unsigned id_of(unsigned number) { return 100 + number; }

static void cut(const struct profile *profile) {
    for (unsigned each = 0; each < profile->instances && instance_count < MOST_SLICES; each++, instance_count++)
        for (unsigned gpu = 0; gpu < gpu_count; gpu++)
            instances[gpu][instance_count] = (struct device){&gpus[gpu], instance_count, profile};
}

__attribute__((constructor)) static void read_layout(void) {
    const char *text = getenv("FAKE_GPUS");
    if (text == NULL || sscanf(text, "%u %llu", &gpu_count, &gpu_mib) != 2 || gpu_count > MOST_GPUS) {
        fprintf(stderr, "fake NVML: cannot play FAKE_GPUS='%s'\n", text ? text : "");
        _exit(99);
    }
    for (unsigned gpu = 0; gpu < gpu_count; gpu++)
        gpus[gpu].index = gpu;
    while ((text = strchr(text, ';')) != NULL && profile_count < MOST_PROFILES) {
        struct profile *next = &profiles[profile_count++];
        text++;
        if (sscanf(text, "%u %u %llu %u", &next->number, &next->slices, &next->mib, &next->instances) != 4) {
            fprintf(stderr, "fake NVML: cannot play the profile '%s'\n", text);
            _exit(99);
        }
        cut(next);
    }
}

/* The library, and the GPUs of the node. */

int nvmlInit_v2(void) { return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == NOT_SUPPORTED ? "not supported" : "an error of the fake NVML"; }

int nvmlDeviceGetCount_v2(unsigned *count) { return *count = gpu_count, OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **found) {
    return index < gpu_count ? (*found = &gpus[index], OK) : INVALID_ARGUMENT;
}

int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned length) {
    unsigned gpu = device->gpu ? device->gpu->index : device->index, instance = device->gpu ? device->index + 1 : 0;
    const char *kind = device->gpu ? "MIG" : "GPU";
    snprintf(uuid, length, "%s-%08x-0000-4000-8000-%012x", kind, gpu, instance);
    return OK;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, struct device **found) {
    char each[96];
    for (unsigned gpu = 0; gpu < gpu_count; gpu++)
        for (unsigned instance = 0; instance <= instance_count; instance++) {
            *found = instance ? &instances[gpu][instance - 1] : &gpus[gpu];
            nvmlDeviceGetUUID(*found, each, sizeof each);
            if (strcmp(uuid, each) == 0)
                return OK;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetName(struct device *device, char *name, unsigned length) {
    return snprintf(name, length, "Fake GPU"), OK;
}

int nvmlDeviceGetMinorNumber(struct device *device, unsigned *minor) { return *minor = device->index, OK; }

int nvmlDeviceGetCudaComputeCapability(struct device *device, int *major, int *minor) {
    return *major = 8, *minor = 0, OK;
}

int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory) {
    u64 bytes = (device->gpu ? device->profile->mib : gpu_mib) << 20;
    return *memory = (struct memory){bytes, bytes, 0}, OK;
}

int nvmlDeviceGetPciInfo_v3(struct device *device, struct pci *pci) {
    *pci = (struct pci){.bus = 0x10 + device->index};
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus);
    return OK;
}

/* How they are cut. */

int nvmlDeviceGetMigMode(struct device *device, unsigned *now, unsigned *after_reset) {
    return profile_count ? (*now = *after_reset = 1, OK) : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned *count) {
    return *count = profile_count ? MOST_SLICES : 0, OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct device *device, unsigned index, struct device **found) {
    return index < instance_count ? (*found = &instances[device->index][index], OK) : NOT_FOUND;
}

int nvmlDeviceIsMigDeviceHandle(struct device *device, unsigned *is) { return *is = device->gpu != NULL, OK; }

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(struct device *device, struct device **gpu) {
    return *gpu = device->gpu, OK;
}

int nvmlDeviceGetGpuInstanceId(struct device *device, unsigned *id) { return *id = device->index + 1, OK; }
int nvmlDeviceGetComputeInstanceId(struct device *device, unsigned *id) { return *id = 0, OK; }

int nvmlDeviceGetAttributes_v2(struct device *device, struct attributes *found) {
    unsigned slices = device->profile->slices;
    *found = (struct attributes){.gpu_slices = slices, .compute_slices = slices, .mib = device->profile->mib};
    return OK;
}

int nvmlDeviceGetGpuInstanceProfileInfo(struct device *gpu, unsigned number, struct gpu_instance_profile *found) {
    for (struct profile *each = profiles; each < profiles + profile_count; each++)
        if (each->number == number) {
            *found = (struct gpu_instance_profile){.id = id_of(number), .slices = each->slices, .mib = each->mib};
            return OK;
        }
    return NOT_SUPPORTED;
}

int nvmlDeviceGetGpuInstanceById(struct device *gpu, unsigned id, struct device **found) {
    return id - 1 < instance_count ? (*found = &instances[gpu->index][id - 1], OK) : NOT_FOUND;
}

int nvmlGpuInstanceGetInfo(struct device *instance, struct gpu_instance *found) {
    *found = (struct gpu_instance){instance->gpu, instance->index + 1, id_of(instance->profile->number), 0, 0};
    return OK;
}

/* Profiles of compute instances, by number: 1, 2, 3, 4, 7, 8 and 6 slices.  Only the one that fills the instance. */
int nvmlGpuInstanceGetComputeInstanceProfileInfo(struct device *instance, unsigned number, unsigned engines,
                                                 struct compute_instance_profile *found) {
    static const unsigned slices[] = {1, 2, 3, 4, 7, 8, 6};
    if (number >= sizeof slices / sizeof *slices || slices[number] != instance->profile->slices)
        return NOT_SUPPORTED;
    *found = (struct compute_instance_profile){.id = id_of(0), .slices = slices[number], .instances = 1};
    return OK;
}

int nvmlGpuInstanceGetComputeInstanceById(struct device *instance, unsigned id, struct device **found) {
    return id == 0 ? (*found = instance, OK) : NOT_FOUND;
}

int nvmlComputeInstanceGetInfo_v2(struct device *instance, struct compute_instance *found) {
    *found = (struct compute_instance){instance->gpu, instance, 0, id_of(0), 0, instance->profile->slices};
    return OK;
}

/* Health: nothing ever happens. */

int nvmlEventSetCreate(void **set) { return *set = &gpus, OK; }
int nvmlEventSetFree(void *set) { return OK; }
int nvmlDeviceGetSupportedEventTypes(struct device *device, u64 *types) { return *types = ~0ULL, OK; }
int nvmlDeviceRegisterEvents(struct device *device, u64 types, void *set) { return OK; }
int nvmlEventSetWait_v2(void *set, void *event, unsigned milliseconds) {
    return usleep(milliseconds * 1000), TIMED_OUT;
}
