/* A program of Windows that asks a relay: client PORT TARGET. Prints the answer to a GET. */
#include <winsock2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **words)
{
    WSADATA data;
    struct sockaddr_in relay = { 0 };
    char room[65536];
    int length;
    SOCKET client;

    if (count != 3)
        return 2;
    WSAStartup(0x202, &data);
    client = socket(AF_INET, SOCK_STREAM, 0);
    /* Nothing is there to be read yet; but Wine gives a socket to its process when it is first used for bytes. */
    recv(client, room, 1, 0);
    relay.sin_family = AF_INET;
    relay.sin_port = htons((u_short) atoi(words[1]));
    relay.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(client, (struct sockaddr *) &relay, sizeof relay))
        return 3;
    length = snprintf(room, sizeof room, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", words[2]);
    send(client, room, length, 0);
    while ((length = recv(client, room, sizeof room, 0)) > 0)
        fwrite(room, 1, length, stdout);
    return 0;
}
