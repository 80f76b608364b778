/* Stands before Wine's own library, which tells no time at which a connection was made: here it is when its process began,
 * or with TEST_CONNECTIONS=inherited a second before that, as if a former process of the same number had made it. The rest
 * of the library is passed on (iphlpapi.def, which the test writes). */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <iphlpapi.h>
#include <stdlib.h>

typedef DWORD (WINAPI *table_function)(PVOID, PDWORD, BOOL, ULONG, TCP_TABLE_CLASS, ULONG);

static LONGLONG began(DWORD pid)
{
    FILETIME start, end, kernel, user;
    LONGLONG time = 0;
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);

    if (process && GetProcessTimes(process, &start, &end, &kernel, &user))
        time = ((LONGLONG)start.dwHighDateTime << 32) | start.dwLowDateTime;
    if (process)
        CloseHandle(process);
    return time;
}

static LONGLONG made(DWORD pid)
{
    char how[16] = "";
    LONGLONG time = began(pid);

    GetEnvironmentVariableA("TEST_CONNECTIONS", how, sizeof how);
    return time && !lstrcmpA(how, "inherited") ? time - 10000000 : time;
}

DWORD WINAPI GetExtendedTcpTable(PVOID room, PDWORD size, BOOL order, ULONG family, TCP_TABLE_CLASS kind, ULONG reserved)
{
    table_function wines = (table_function)(void *)GetProcAddress(LoadLibraryA("iphlpwine.dll"), "GetExtendedTcpTable");
    DWORD at, status = wines(room, size, order, family, kind, reserved);

    if (status || kind != TCP_TABLE_OWNER_MODULE_ALL)
        return status;
    if (family == AF_INET) {
        MIB_TCPTABLE_OWNER_MODULE *table = room;
        for (at = 0; at < table->dwNumEntries; at++)
            table->table[at].liCreateTimestamp.QuadPart = made(table->table[at].dwOwningPid);
    } else {
        MIB_TCP6TABLE_OWNER_MODULE *table = room;
        for (at = 0; at < table->dwNumEntries; at++)
            table->table[at].liCreateTimestamp.QuadPart = made(table->table[at].dwOwningPid);
    }
    return status;
}
