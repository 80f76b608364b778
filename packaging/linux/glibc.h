/* packaging/build puts this before every C source. The hypot of glibc 2.35 differs from the older one in errno alone, which
   nobody asks for; it would be the only thing that keeps the program from systems with glibc 2.34. */
#if !defined(__ASSEMBLER__) && defined(__linux__) && defined(__x86_64__)
__asm__(".symver hypot, hypot@GLIBC_2.2.5");
#elif !defined(__ASSEMBLER__) && defined(__linux__) && defined(__aarch64__)
__asm__(".symver hypot, hypot@GLIBC_2.17");
#endif
