/* vector.c - floating point: scalar, vectors, x87, the mathematical library */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <stddef.h>

#include "workload.h"

enum { SIDE = 128, BODIES = 5 };

static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];

static void fill_matrices(void)
{
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = i + j * .5;
            b[i][j] = i - j * .25;
        }
}

__attribute__((optimize("O2", "no-tree-vectorize"), noinline)) static void multiply_scalar(void)
{
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            double sum = 0;
            for (int k = 0; k < SIDE; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
}

/* One text, compiled for two kinds of vectors. */
#define MULTIPLY_ROWS                      \
    for (int i = 0; i < SIDE; i++) {       \
        for (int j = 0; j < SIDE; j++)     \
            c[i][j] = 0;                   \
        for (int k = 0; k < SIDE; k++) {   \
            double x = a[i][k];            \
            for (int j = 0; j < SIDE; j++) \
                c[i][j] += x * b[k][j];    \
        }                                  \
    }

__attribute__((optimize("O3"), noinline)) static void multiply_sse2(void)
{
    MULTIPLY_ROWS
}

__attribute__((optimize("O3"), target("avx2,fma"), noinline)) static void multiply_avx2(void)
{
    MULTIPLY_ROWS
}

static void repeat(void (*multiply)(void), long n)
{
    for (long i = 0; i < n; i++) {
        multiply();
        sink += (uint64_t)c[3][5];
    }
}

static void run_scalar(long n)
{
    repeat(multiply_scalar, n);
}

static void run_sse2(long n)
{
    repeat(multiply_sse2, n);
}

static void run_avx2(long n)
{
    repeat(multiply_avx2, n);
}

static void attract(double p[BODIES][3], double v[BODIES][3], const double m[BODIES], int i, int j)
{
    double dx = p[i][0] - p[j][0], dy = p[i][1] - p[j][1], dz = p[i][2] - p[j][2];
    double d = dx * dx + dy * dy + dz * dz + 1e-3;
    double g = .001 / (d * sqrt(d));
    v[i][0] -= dx * m[j] * g;
    v[i][1] -= dy * m[j] * g;
    v[i][2] -= dz * m[j] * g;
    v[j][0] += dx * m[i] * g;
    v[j][1] += dy * m[i] * g;
    v[j][2] += dz * m[i] * g;
}

static void run_nbody(long n)
{
    static double p[BODIES][3], v[BODIES][3];
    static const double m[BODIES] = {39.47, .0376, .0113, .0017, .002};
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++) {
            p[i][k] = i * (k + 1) * 1.7 + k;
            v[i][k] = .1 * (i - k);
        }
    for (long step = 0; step < n; step++) {
        for (int i = 0; i < BODIES; i++)
            for (int j = i + 1; j < BODIES; j++)
                attract(p, v, m, i, j);
        for (int i = 0; i < BODIES; i++)
            for (int k = 0; k < 3; k++)
                p[i][k] += .001 * v[i][k];
    }
    sink = (uint64_t)p[0][0];
}

static void run_x87(long n)
{
    volatile long double factor = 0.999999L;
    long double sum = 1;
    for (long i = 0; i < n; i++)
        sum = sum * factor + 1.0L / (long double)(i + 1);
    sink = (uint64_t)sum;
}

static void run_libm(long n)
{
    double sum = 0;
    for (long i = 0; i < n; i++) {
        double x = (double)i * 1e-3;
        sum += sin(x) + exp(-x * 1e-3) + log(x + 1);
    }
    sink = (uint64_t)sum;
}

const struct workload workloads[] = {
    {"matrix_scalar", run_scalar, fill_matrices},
    {"matrix_sse2", run_sse2, fill_matrices},
    {"matrix_avx2", run_avx2, fill_matrices},
    {"nbody", run_nbody, NULL},
    {"x87", run_x87, NULL},
    {"libm", run_libm, NULL},
    {NULL, NULL, NULL},
};
