// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// A plain ERC-20 of any name, symbol and decimals that anyone may mint and burn. A second one
/// with a known coin's symbol is the counterfeit.
contract TestToken is ERC20 {
    uint8 private immutable _decimals;

    constructor(string memory name_, string memory symbol_, uint8 decimals_) ERC20(name_, symbol_) {
        _decimals = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// Emits Transfer(0, to, value).
    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    /// Emits Transfer(from, 0, value).
    function burn(address from, uint256 value) external {
        _burn(from, value);
    }
}
