/* Hands its standard input and output over, the client and the upstream, with what the arguments after PATH are. */
#include "sockc.h"

#include <stdio.h>

int main(int count, char **words)
{
	const char *why;
	int keeper;

	if (count != 4)
		return 2;
	keeper = sockc_open(words[1]);
	if (keeper < 0) {
		perror(words[1]);
		return 1;
	}
	switch (sockc_pairs_join(keeper, 0, 1, words[2], strlen(words[2]), words[3], strlen(words[3]), &why)) {
	case SOCKC_PAIRS_JOINED:
		return 0;
	case SOCKC_PAIRS_REFUSED:
		fprintf(stderr, "%s\n", why);
		return 1;
	case SOCKC_PAIRS_LOST:
		fprintf(stderr, "%s\n", why);
		return 3;
	}
	return 2;
}
