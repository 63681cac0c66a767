package configs

import (
	"github.com/spf13/viper" // want: github.com/spf13/viper may only be imported in configs/load.go
	"splitkernel/elsewhere"  // want: import of elsewhere, which is not in the plan
	"splitkernel/sim/cli"    // want: level 4 imports sim/cli of level 5
)
